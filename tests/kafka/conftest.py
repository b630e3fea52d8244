from __future__ import annotations

import itertools

import pytest
from kafka_broker import kafka_broker

from stores.log.kafka.place import KafkaPlace
from stores.log.kafka.topics import ensure_topic

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """One broker for all tests; who ends it starts it again."""
    with kafka_broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def place(broker):
    """A topic of three partitions that nobody else uses."""
    place = KafkaPlace(bootstrap=broker.bootstrap, topic=f"events-{next(_NUMBERS)}")
    ensure_topic(place, n_partitions=3, n_replicas=1)
    return place
