"""Clients of Kafka (librdkafka), imported when the first log over Kafka is opened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from core.errors import ConfigurationError, DependencyError
from stores.log.kafka.place import KafkaPlace
from stores.log.kafka.rows import Row
from stores.log.line_records import MAX_LINE_BYTES

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer
    from confluent_kafka.admin import AdminClient

T = TypeVar("T")

ADMIN = "confluent_kafka.admin"
ANSWER_S = 5.0
"""Longest wait for the answer of a broker."""
NOT_KNOWN_S = 0.1
MOST_MESSAGE_BYTES = 2 * MAX_LINE_BYTES
"""An event, its key, and what Kafka adds."""

_QUIET: dict[str, Any] = {"log_level": 0, "error_cb": lambda _: None, "client.id": "throughline"}
"""What goes wrong is told by who asked; the library would tell it again and again."""


def new_producer(place: KafkaPlace) -> Producer:
    """Producer whose events are acknowledged by every replica in sync, and kept once."""
    properties = configured(place) | {
        "enable.idempotence": True,  # acks=all, and a repeated send is not a second event
        "delivery.timeout.ms": int(ANSWER_S * 1_000),
        "linger.ms": 2,
        "partitioner": "murmur2_random",  # as Java's clients choose
        "message.max.bytes": MOST_MESSAGE_BYTES,
    }
    made: Producer = library().Producer(properties)
    return made


def new_consumer(place: KafkaPlace) -> Consumer:
    """Consumer of partitions it is assigned; its group is a name that nothing is kept under."""
    properties = configured(place) | {
        "group.id": "throughline",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",  # what is gone is told, never passed over
        "fetch.wait.max.ms": 100,
        "isolation.level": "read_uncommitted",
    }
    made: Consumer = library().Consumer(properties)
    return made


def new_admin(place: KafkaPlace) -> AdminClient:
    """Client that asks about topics and changes them."""
    made: AdminClient = library(ADMIN).AdminClient(configured(place))
    return made


def end_offsets(admin: AdminClient, topic: str, n_partitions: int) -> Row:
    """Offset behind the last event of each partition that every replica in sync has."""
    return _offsets(admin, topic, n_partitions, library(ADMIN).OffsetSpec.latest())


def first_offsets(admin: AdminClient, topic: str, n_partitions: int) -> Row:
    """Offset of the first event that each partition still has."""
    return _offsets(admin, topic, n_partitions, library(ADMIN).OffsetSpec.earliest())


def partitions_of(admin: AdminClient, topic: str) -> int:
    """Number of partitions of a topic; 0 where there is no such topic."""
    with as_dependency("asked about a topic"):
        found = admin.list_topics(topic, timeout=ANSWER_S).topics[topic]
    return 0 if found.error is not None else len(found.partitions)


def delete_before(admin: AdminClient, topic: str, row: Row) -> None:
    """Let brokers forget every event before a row of offsets."""
    from confluent_kafka import TopicPartition

    before = [TopicPartition(topic, place, offset) for place, offset in enumerate(row)]
    with as_dependency("told to delete events"):
        for done in admin.delete_records(before, request_timeout=ANSWER_S).values():
            done.result(ANSWER_S)


def configured(place: KafkaPlace) -> dict[str, Any]:
    """Configuration that every client of a place shares.

    Raises
    ------
    ConfigurationError
        If the file of further properties cannot be read.
    """
    return {"bootstrap.servers": place.bootstrap, **_QUIET, **_properties(place.client_file)}


@contextmanager
def as_dependency(asked: str) -> Iterator[None]:
    """Tell what Kafka says inside as an error of ours."""
    from confluent_kafka import KafkaException

    try:
        yield
    except KafkaException as error:
        raise unanswered(asked, error.args[0]) from error
    except TimeoutError as error:
        raise unanswered(asked, f"no answer within {ANSWER_S:g} s") from error


def unanswered(asked: str, found: object) -> DependencyError:
    """Error of brokers that were asked and did not do it."""
    name = getattr(found, "name", None)
    return DependencyError(
        f"Kafka was {asked} and did not do it",
        found=str(name() if callable(name) else found),
        remedy="see that the brokers run and can be reached; it is tried again",
        code="kafka_unavailable",
    )


def once_known(asked: str, ask: Callable[[], T]) -> T:
    """Answer of brokers; what they do not know yet, as a topic just made, is asked for again.

    Raises
    ------
    DependencyError
        If they cannot say it within `ANSWER_S`, or refuse.
    """
    names, until_s = library(), time.monotonic() + ANSWER_S
    while True:
        with as_dependency(asked):
            try:
                return ask()
            except names.KafkaException as error:
                if time.monotonic() > until_s or not _is_known_soon(error.args[0]):
                    raise
        time.sleep(NOT_KNOWN_S)


def _offsets(admin: AdminClient, topic: str, n_partitions: int, spec: Any) -> Row:
    """Offsets that the leaders of all partitions say."""
    wanted = {library().TopicPartition(topic, place): spec for place in range(n_partitions)}

    def ask() -> Row:
        found = admin.list_offsets(wanted, request_timeout=ANSWER_S)
        return tuple(found[each].result(ANSWER_S).offset for each in wanted)

    return once_known("asked where a topic ends", ask)


def _is_known_soon(error: Any) -> bool:
    kinds = library().KafkaError
    return error.code() in (
        kinds._NOENT,  # so the library calls a partition whose leader it does not know
        kinds.NOT_LEADER_FOR_PARTITION,
        kinds.LEADER_NOT_AVAILABLE,
        kinds.OFFSET_NOT_AVAILABLE,
        kinds.UNKNOWN_TOPIC_OR_PART,
    )


def _properties(client_file: str) -> dict[str, str]:
    if not client_file:
        return {}
    try:
        lines = Path(client_file).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigurationError(
            "the file with properties of Kafka's client cannot be read",
            found=f"{type(error).__name__} at {client_file}",
            remedy="mount it, or mend THROUGHLINE_KAFKA__CLIENT_FILE",
            code="bad_kafka_client",
        ) from error
    return dict(_property(line) for line in _that_say_something(lines))


def _that_say_something(lines: Sequence[str]) -> list[str]:
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


def _property(line: str) -> tuple[str, str]:
    name, equals, value = line.partition("=")
    if not equals:
        raise ConfigurationError(
            "a line of the file with properties of Kafka's client is none",
            found="a line without `=`",
            remedy="write name=value, as librdkafka names its properties",
            code="bad_kafka_client",
        )
    return name.strip(), value.strip()


def library(name: str = "confluent_kafka") -> Any:
    """A module of the client; its annotations leave out half of what it has."""
    try:
        return import_module(name)
    except ImportError:
        raise ConfigurationError(
            "events of this log are in Kafka, and its client is not installed",
            found=f"no module {name}",
            remedy="install `throughline[kafka]`",
            code="no_kafka_client",
        ) from None
