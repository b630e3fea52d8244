"""The topic of a log: made once, and refused where it would lose events or their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.clock import DAY_MS
from core.errors import ConfigurationError
from stores.log.kafka.clients import (
    ADMIN,
    ANSWER_S,
    MOST_MESSAGE_BYTES,
    as_dependency,
    library,
    new_admin,
    once_known,
    partitions_of,
)
from stores.log.kafka.place import KafkaPlace

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

_DECLARED = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",  # the sweep deletes what is due, and nothing that nobody has read
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",  # one clock says when events arrived
    "max.message.bytes": str(MOST_MESSAGE_BYTES),
    "segment.ms": str(DAY_MS),  # what is deleted is off the disks a day later
}
_HELD = ("cleanup.policy", "retention.ms", "retention.bytes", "message.timestamp.type")


def ensure_topic(place: KafkaPlace, *, n_partitions: int, n_replicas: int) -> None:
    """Make the topic of a log where there is none; one that is there is looked at.

    An append counts when more than half of ``n_replicas`` have it.

    Raises
    ------
    ConfigurationError
        If the topic is set up so that events would be lost, or the cluster refuses to make it.
    DependencyError
        If the brokers do not answer.
    """
    admin = new_admin(place)
    if not partitions_of(admin, place.topic):
        _make(admin, place, n_partitions, n_replicas)
    check_topic(admin, place)


def _make(admin: AdminClient, place: KafkaPlace, n_partitions: int, n_replicas: int) -> None:
    kafka, names = library(ADMIN), library()
    declared = _DECLARED | {"min.insync.replicas": str(n_replicas // 2 + 1)}
    topic = kafka.NewTopic(place.topic, n_partitions, n_replicas, config=declared)
    made = admin.create_topics([topic], request_timeout=ANSWER_S)
    try:
        made[place.topic].result(ANSWER_S)
    except names.KafkaException as error:
        code = error.args[0].code()
        if code == names.KafkaError.INVALID_REPLICATION_FACTOR:
            raise ConfigurationError(
                f"the topic {place.topic} cannot be made with {n_replicas} replicas",
                found="fewer brokers",
                remedy="start more brokers, or set THROUGHLINE_KAFKA__REPLICAS",
                code="bad_topic",
            ) from error
        if code != names.KafkaError.TOPIC_ALREADY_EXISTS:  # by another replica of ours
            with as_dependency("told to make a topic"):
                raise


def check_topic(admin: AdminClient, place: KafkaPlace) -> None:
    """Refuse a topic that would lose events; ConfigurationError says how it is to be set up."""
    kafka = library(ADMIN)
    topic = kafka.ConfigResource(kafka.ResourceType.TOPIC, place.topic)

    def ask() -> Any:
        return admin.describe_configs([topic], request_timeout=ANSWER_S)[topic].result(ANSWER_S)

    entries = once_known("asked about a topic", ask)
    wrong = {n: entries[n].value for n in _HELD if entries[n].value != _DECLARED[n]}
    if wrong:
        said = ", ".join(f"{name}={value}" for name, value in wrong.items())
        right = ", ".join(f"{name}={_DECLARED[name]}" for name in wrong)
        raise ConfigurationError(
            f"the topic {place.topic} would lose events, or when they arrived",
            found=said,
            remedy=f"set {right}; the platform deletes what has had its time",
            code="bad_topic",
        )
