"""Logs of sources as lists: for tests of who appends."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import DependencyError
from serving.events.appending import Line


class MemoryAppenders:
    """Logs as lists. The next ``failing`` appends fail."""

    def __init__(self) -> None:
        self.lines: dict[str, list[bytes]] = {}
        self.failing = 0

    def of(self, source: str) -> MemoryAppender:
        return MemoryAppender(self, source)


class MemoryAppender:
    """Log of one source; a position is a place in its list."""

    def __init__(self, appenders: MemoryAppenders, source: str) -> None:
        self.appenders = appenders
        self.source = source

    async def append(self, lines: Sequence[Line]) -> list[int]:
        if self.appenders.failing:
            self.appenders.failing -= 1
            raise DependencyError("the disk is full")
        kept = self.appenders.lines.setdefault(self.source, [])
        kept.extend(line.content for line in lines)
        return list(range(len(kept) - len(lines), len(kept)))
