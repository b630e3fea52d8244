"""Group commit: events of requests that come together share one write and one sync."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from core.clock import Clock
from serving.engine.grouping import Groups
from stores.log.source_log import SourceLog


class GroupAppender:
    """Appends to one source's log. Whoever comes while a group is being synced joins the next."""

    def __init__(self, open_log: Callable[[], SourceLog], clock: Clock) -> None:
        self._open_log = open_log
        self._log: SourceLog | None = None
        self._clock = clock
        self._groups: Groups[bytes, int] = Groups(self._together, "the disk takes them")

    async def append(self, lines: Sequence[bytes]) -> list[int]:
        """Positions of ``lines``, durable when this returns.

        Raises
        ------
        OverloadedError
            If too many lines wait already; nothing is kept then.
        DependencyError
            If the disk does not take them.
        """
        return await self._groups.do(lines)

    async def _together(self, lines: Sequence[bytes]) -> list[int]:
        return await asyncio.to_thread(self._append, lines)

    def _append(self, lines: Sequence[bytes]) -> list[int]:
        if self._log is None:
            self._log = self._open_log()
        return self._log.append(lines, now_ms=self._clock.now_ms())
