"""Group commit: events of requests that come together share one write and one sync."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from core.clock import Clock
from core.errors import OverloadedError
from stores.log import SourceLog

MAX_WAITING_LINES = 20_000


class GroupAppender:
    """Appends to one source's log. Whoever comes while a group is being synced joins the next."""

    def __init__(self, open_log: Callable[[], SourceLog], clock: Clock) -> None:
        self._open_log = open_log
        self._log: SourceLog | None = None
        self._clock = clock
        self._waiting: list[tuple[Sequence[bytes], asyncio.Future[list[int]]]] = []
        self._waiting_lines = 0
        self._worker: asyncio.Task[None] | None = None

    async def append(self, lines: Sequence[bytes]) -> list[int]:
        """Positions of ``lines``, durable when this returns.

        Raises
        ------
        OverloadedError
            If too many lines wait already; nothing is kept then.
        DependencyError
            If the disk does not take them.
        """
        if self._waiting_lines + len(lines) > MAX_WAITING_LINES:
            raise OverloadedError(
                "events come faster than the disk takes them",
                found=f"{self._waiting_lines} waiting",
                remedy="send them again a little later",
                code="events_waiting",
            )
        done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._waiting.append((lines, done))
        self._waiting_lines += len(lines)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await done

    async def _work(self) -> None:
        while self._waiting:
            group, self._waiting, self._waiting_lines = self._waiting, [], 0
            lines = [line for each, _ in group for line in each]
            try:
                positions = await asyncio.to_thread(self._append, lines)
            except Exception as error:  # each sender hears of it; the worker goes on
                for _, done in group:
                    if not done.done():
                        done.set_exception(error)
                continue
            start = 0
            for each, done in group:
                if not done.done():
                    done.set_result(positions[start : start + len(each)])
                start += len(each)

    def _append(self, lines: Sequence[bytes]) -> list[int]:
        if self._log is None:
            self._log = self._open_log()
        return self._log.append(lines, now_ms=self._clock.now_ms())
