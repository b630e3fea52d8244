"""Reading a topic by stretches of its partitions, in the order that they are asked for."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from core.errors import IntegrityError
from stores.log.epochs import Record
from stores.log.kafka.clients import as_dependency, new_consumer, unanswered
from stores.log.kafka.place import KafkaPlace
from stores.log.kafka.rows import Stretch
from stores.log.line_records import parsed_line

if TYPE_CHECKING:
    from confluent_kafka import Message

SILENT_S = 10.0
"""A broker from which nothing comes for so long is taken for one that is gone."""
MOST_AHEAD = 20_000
"""Events of a partition that are kept until their turn comes; then it is not read further."""
_AT_ONCE = 1_000


class TopicReader:
    """Reads stretches; where one goes on where its partition was left, nothing is asked anew."""

    def __init__(self, place: KafkaPlace) -> None:
        self._topic = place.topic
        self._consumer = new_consumer(place)
        self._ahead: defaultdict[int, deque[Message]] = defaultdict(deque)
        self._next: dict[int, int] = {}
        self._end: dict[int, int] = {}
        self._paused: set[int] = set()

    def read(self, stretches: Iterable[Stretch]) -> Iterator[Record]:
        """Records of stretches, numbered as these say.

        Raises
        ------
        IntegrityError
            If the topic no longer holds what it held.
        DependencyError
            If the brokers do not give it.
        """
        for number, at_ms, text in self.lines(stretches):
            yield Record(number, parsed_line(text), at_ms)

    def lines(self, stretches: Iterable[Stretch]) -> Iterator[tuple[int, int, bytes]]:
        """Numbers of events, when they arrived, and what they say; raises as `read` does."""
        for stretch in stretches:
            for message in self._messages(stretch):
                number = stretch.number + (message.offset() or 0) - stretch.first
                yield number, message.timestamp()[1], bytes(message.value() or b"")

    def close(self) -> None:
        """Give the connection back."""
        self._consumer.close()

    def _messages(self, stretch: Stretch) -> Iterator[Message]:
        partition = stretch.partition
        if self._next.get(partition) != stretch.first:
            self._begin_at(partition, stretch.first)
        ahead, end = self._ahead[partition], stretch.end
        while self._next[partition] < end:
            if not ahead and self._end.get(partition, 0) < end:
                self._fetch(partition)
            elif ahead and (ahead[0].offset() or 0) < end:
                message = ahead.popleft()
                self._next[partition] = (message.offset() or 0) + 1
                yield message
            else:  # offsets may be passed over: Kafka marks ends of transactions with some
                self._next[partition] = end

    def _begin_at(self, partition: int, offset: int) -> None:
        """Read a partition from an offset on, and the others from where they are."""
        from confluent_kafka import TopicPartition

        self._next[partition] = offset
        self._ahead.clear()
        self._end.clear()
        self._paused.clear()
        places = [TopicPartition(self._topic, each, at) for each, at in self._next.items()]
        with as_dependency("asked for events"):
            self._consumer.assign(places)

    def _fetch(self, partition: int) -> None:
        """Wait until something of a partition has come; take what has come of others, too."""
        from confluent_kafka import TopicPartition

        if partition in self._paused:
            self._consumer.resume([TopicPartition(self._topic, partition)])
            self._paused.discard(partition)
        with as_dependency("asked for events"):
            first = self._consumer.poll(SILENT_S)
            found = [] if first is None else [first, *self._consumer.consume(_AT_ONCE, 0)]
        if not found:
            raise unanswered("asked for events", f"nothing within {SILENT_S:g} s")
        for message in found:
            self._take(message)
        full = [each for each, kept in self._ahead.items() if len(kept) > MOST_AHEAD]
        if full:
            self._consumer.pause([TopicPartition(self._topic, each) for each in full])
            self._paused.update(full)

    def _take(self, message: Message) -> None:
        from confluent_kafka import KafkaError

        error, partition = message.error(), message.partition() or 0
        if error is None:
            self._ahead[partition].append(message)
        elif error.code() == KafkaError._PARTITION_EOF:  # the library's name for it
            self._end[partition] = message.offset() or 0
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise IntegrityError(
                "a topic no longer holds events that its log has numbered",
                found=f"{self._topic}, partition {partition}: {error.name()}",
                remedy="let the topic keep events until the platform deletes them "
                "(retention.ms=-1, cleanup.policy=delete)",
                code="log_damaged",
            )
        elif not error.retriable():
            raise unanswered("asked for events", error)
