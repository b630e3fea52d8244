from __future__ import annotations

from itertools import accumulate

import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigurationError, DependencyError, IntegrityError
from stores.log.kafka.clients import configured, once_known
from stores.log.kafka.place import KafkaPlace, keep_place, place_of
from stores.log.kafka.rows import EpochRows, Stretch, at_least, rows_path

PLACE = KafkaPlace(bootstrap="127.0.0.1:1", topic="events")


def written(directory, *rows):
    made = EpochRows(rows_path(directory, 1))
    for at_ms, row in enumerate(rows):
        made.write(row, at_ms)
    return made


def test_events_are_numbered_row_by_row_then_by_partition_and_offset(tmp_path):
    rows = written(tmp_path, (5, 0), (7, 1), (7, 4))
    assert list(rows.stretches()) == [Stretch(0, 5, 7, 0), Stretch(1, 0, 1, 2), Stretch(1, 1, 4, 3)]
    assert (rows.count, rows.ends, rows.first_ms) == (6, (7, 4), 1)
    assert list(rows.stretches(4)) == [Stretch(1, 2, 4, 4)]
    assert list(rows.stretches(1, partition=0)) == [Stretch(0, 6, 7, 1)]
    assert list(rows.stretches(6)) == []


def test_a_row_that_adds_nothing_is_not_written(tmp_path):
    rows = written(tmp_path, (0, 0), (2, 0), (1, 0), (2, 0))
    assert rows_path(tmp_path, 1).read_bytes() == b"0\t0 0\n1\t2 0\n"
    assert rows.count == 2


def test_a_partition_that_is_added_begins_at_its_first_event(tmp_path):
    rows = written(tmp_path, (3,), (4, 2))
    assert list(rows.stretches()) == [Stretch(0, 3, 4, 0), Stretch(1, 0, 2, 1)]


steps = st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=5)


@given(starts=st.lists(st.integers(0, 9), min_size=3, max_size=3), steps=steps)
def test_numbers_never_change_and_leave_no_gap(tmp_path_factory, starts, steps):
    """Whatever is written later, and whoever reads it from the file."""
    directory = tmp_path_factory.mktemp("rows")
    ends = list(accumulate(steps, lambda row, step: [a + b for a, b in zip(row, step, strict=True)],
                           initial=starts))  # fmt: skip
    rows = EpochRows(rows_path(directory, 1))
    before: dict[int, tuple[int, int]] = {}
    for at_ms, row in enumerate(ends):
        rows.write(tuple(row), at_ms)
        read = EpochRows(rows_path(directory, 1))
        read.refresh()
        assert list(read.stretches()) == list(rows.stretches())
        now: dict[int, tuple[int, int]] = {}
        for partition, first, end, number in rows.stretches():
            now |= {number + n: (partition, first + n) for n in range(end - first)}
        assert before.items() <= now.items()
        before = now
    assert list(before) == list(range(rows.count))
    assert len(set(before.values())) == rows.count == sum(map(sum, steps))
    for start in range(rows.count + 1):
        assert sum(each.end - each.first for each in rows.stretches(start)) == rows.count - start


def test_a_torn_row_is_passed_over_and_cut_off(tmp_path):
    written(tmp_path, (0, 0), (2, 0))
    with rows_path(tmp_path, 1).open("ab") as file:
        file.write(b"3\t5")
    rows = EpochRows(rows_path(tmp_path, 1))
    rows.refresh()
    assert rows.count == 2
    rows.write((2, 7), 9)
    assert rows_path(tmp_path, 1).read_bytes() == b"0\t0 0\n1\t2 0\n9\t2 7\n"
    assert rows.count == 9


@pytest.mark.parametrize("line", [b"x\t1 2\n", b"1\t\n", b"1\t0 0\n", b"\n"])
def test_a_row_that_goes_back_or_is_none_is_damage(tmp_path, line):
    written(tmp_path, (0, 0), (2, 0))
    with rows_path(tmp_path, 1).open("ab") as file:
        file.write(line)
    with pytest.raises(IntegrityError, match="offsets of an epoch"):
        EpochRows(rows_path(tmp_path, 1)).refresh()


def test_at_least_is_the_later_of_each():
    assert at_least((), (1, 2)) == (1, 2)
    assert at_least((3, 0), (1, 2)) == (3, 2)


def test_where_events_are_is_kept_beside_them(tmp_path):
    assert place_of(tmp_path) is None
    keep_place(tmp_path, PLACE)
    assert place_of(tmp_path) == PLACE
    (tmp_path / "kafka.json").write_text("{}")
    with pytest.raises(IntegrityError, match="restore the file"):
        place_of(tmp_path)


def test_properties_of_the_client_come_from_a_file(tmp_path):
    path = tmp_path / "client.properties"
    path.write_text("# who we are\nsasl.username = shop\n\nsasl.password=a=b\n")
    found = configured(PLACE.model_copy(update={"client_file": str(path)}))
    assert (found["sasl.username"], found["sasl.password"]) == ("shop", "a=b")
    assert found["bootstrap.servers"] == PLACE.bootstrap


@pytest.mark.parametrize("content", [None, "no equals sign"])
def test_a_file_of_properties_that_is_none_is_told(tmp_path, content):
    path = tmp_path / "client.properties"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="properties of Kafka's client"):
        configured(PLACE.model_copy(update={"client_file": str(path)}))


def test_a_topic_that_brokers_do_not_know_yet_is_asked_for_again():
    codes = [KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE]

    def ask():
        if codes:
            raise KafkaException(KafkaError(codes.pop()))
        return "known"

    assert once_known("asked about a topic", ask) == "known"


def test_what_brokers_refuse_is_not_asked_for_again():
    asked = []

    def ask():
        asked.append(1)
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    with pytest.raises(DependencyError, match="TOPIC_AUTHORIZATION_FAILED"):
        once_known("asked about a topic", ask)
    assert asked == [1]
