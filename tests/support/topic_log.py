"""Logs over a topic for tests: who sends, reads and seals, alone and at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from core.clock import SystemClock
from core.errors import DependencyError
from stores.log.epochs import Record
from stores.log.kafka.place import KafkaPlace
from stores.log.source_log import SourceLog

PATIENCE_S = 60
now_ms = SystemClock().now_ms
Found = TypeVar("Found")


def over(directory: Path, place: KafkaPlace) -> SourceLog:
    """A log whose events are in a topic."""
    log = SourceLog(directory, "payments")
    log.move_to(place, now_ms=now_ms())
    return log


def spread(n: int) -> bytes:
    """One of seven keys."""
    return b"key%d" % (n % 7)


def send(
    log: SourceLog, numbers: Sequence[int], key: Callable[[int], bytes] = lambda _: b"k"
) -> list[int]:
    """Append an event for each number."""
    lines = [b'{"n":%d}' % n for n in numbers]
    return log.append(lines, keys=[key(n) for n in numbers], now_ms=0)


def read(log: SourceLog, after: int = 0) -> list[tuple[int, Record]]:
    """Everything behind a position, as a folder would see it."""
    log.tip(now_ms())
    return list(log.read_open(after))


def raws(found: Iterable[tuple[int, Record]]) -> list[Any]:
    """What events say, in order."""
    return [record.raw for _, record in found]


def numbers(found: Iterable[tuple[int, Record]]) -> list[int]:
    """Numbers of events, in order."""
    return [raw["n"] for raw in raws(found)]


class Party:
    """Threads on one log, each with a connection of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.faults: list[BaseException] = []
        self.is_over = threading.Event()

    def start(self, work: Callable[..., None], *arguments: Any) -> threading.Thread:
        """Let somebody work; what goes wrong is kept."""

        def guarded() -> None:
            try:
                with closing(SourceLog(self.directory, "payments")) as log:
                    work(log, *arguments)
            except BaseException as error:
                self.faults.append(error)

        thread = threading.Thread(target=guarded)
        thread.start()
        return thread

    def send(self, log: SourceLog, start: int) -> None:
        """A thousand events, fifty at a time."""
        for first in range(start, start + 1_000, 50):
            send(log, range(first, first + 50), spread)

    def read(self, log: SourceLog, into: dict[int, int]) -> None:
        """Follow the log until it is over and has no more."""
        after, has_more = 0, True
        while has_more or not self.is_over.is_set():
            found = read(log, after)
            into.update(zip((at for at, _ in found), numbers(found), strict=True))
            after, has_more = max(into, default=0), bool(found)

    def seal(self, log: SourceLog) -> None:
        """Seal again and again."""
        while not self.is_over.is_set():
            log.seal(now_ms())


def again(work: Callable[[], Found]) -> Found:
    """What work gives as soon as brokers do: one that just began knows no leaders yet."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return work()
        except DependencyError:
            assert time.monotonic() < until_s
