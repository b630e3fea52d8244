"""Group commit: events of requests that come together share one write and one sync."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from core.clock import Clock
from core.errors import NotReadyError
from serving.engine.grouping import Groups
from serving.guard import Guard
from serving.settings import Settings
from stores.log.kafka.place import KafkaPlace
from stores.log.kafka.topics import ensure_topic
from stores.log.source_log import SourceLog, unwritable
from stores.log.takers import Taker


class Line(NamedTuple):
    """An event as the log keeps it, and the key of whom it is about."""

    content: bytes
    key: bytes


class GroupAppender:
    """Appends to one source's log. Whoever comes while a group is being synced joins the next.

    Parameters
    ----------
    open_log
        Opens the log; asked in a thread, when the first event comes.
    guard
        Leaves brokers alone that failed again and again; None for a log on a disk.
    """

    def __init__(
        self, open_log: Callable[[], SourceLog], clock: Clock, guard: Guard | None = None
    ) -> None:
        self._open_log = open_log
        self._log: SourceLog | None = None
        self._clock = clock
        self._guard = guard
        self._groups: Groups[Line, int] = Groups(self._together, "the log takes them")

    async def append(self, lines: Sequence[Line]) -> list[int]:
        """Positions of ``lines``, durable when this returns.

        Raises
        ------
        OverloadedError
            If too many lines wait already; nothing is kept then.
        DependencyError
            If the disk, or the broker, does not take them.
        """
        return await self._groups.do(lines)

    async def _together(self, lines: Sequence[Line]) -> list[int]:
        if self._guard is None:
            return await asyncio.to_thread(self._append, lines)
        return await self._guard.call(lambda: asyncio.to_thread(self._append, lines))

    def _append(self, lines: Sequence[Line]) -> list[int]:
        if self._log is None:
            try:
                self._log = self._open_log()
            except OSError as error:  # a folder that cannot be made, a right that cannot be noted
                raise unwritable(error) from error
        contents, keys = zip(*lines, strict=True)
        return self._log.append(contents, keys=keys, now_ms=self._clock.now_ms())


class LogAppenders:
    """Logs of all sources, each opened when its first event comes: over Kafka where it is named.

    Logs in files are appended to by the processes of one machine; on every other one events are
    refused, as they are where settings say so.
    """

    def __init__(
        self, settings: Settings, clock: Clock, guard: Guard | None, *, machine: str
    ) -> None:
        self._layout = settings.layout
        self._clock = clock
        self._kafka = settings.kafka
        self._may_take_events = settings.http.may_take_events
        self._guard = guard
        self._taker = Taker(self._layout.state / "event_taker", machine)
        self._appenders: dict[str, GroupAppender] = {}

    def of(self, source: str) -> GroupAppender:
        """Appender of one source."""
        if source not in self._appenders:
            self._appenders[source] = GroupAppender(
                lambda: self._opened(source), self._clock, self._guard
            )
        return self._appenders[source]

    def _opened(self, source: str) -> SourceLog:
        if not self._may_take_events:
            raise NotReadyError(
                "this replica of the service takes no events",
                found="THROUGHLINE_HTTP__MAY_TAKE_EVENTS=false",
                remedy="send them to the one that does; in a cluster that is http://events:8080",
                code="events_elsewhere",
            )
        log, kafka = SourceLog(self._layout.log_dir(source), source), self._kafka
        if kafka.bootstrap:
            topic = f"{kafka.topic_prefix}{source}"
            place = KafkaPlace(
                bootstrap=kafka.bootstrap, topic=topic, client_file=kafka.client_file
            )
            ensure_topic(place, n_partitions=kafka.partitions, n_replicas=kafka.replicas)
            log.move_to(place, now_ms=self._clock.now_ms())
        elif not log.is_over_kafka:
            self._taker.hold()
        return log
