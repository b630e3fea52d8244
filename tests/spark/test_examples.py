from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from payments import DAY_MS, LABEL, NOW_MS, PLAN
from pyspark.sql.types import LongType, StringType, TimestampType

from spark_jobs.examples import examples_of, labelled, pruned
from spark_jobs.tables import struct

pytestmark = pytest.mark.spark

EXAMPLES = struct(example_id=StringType())
LABELS = struct(
    event_id=StringType(),
    payment_id=StringType(),
    is_fraud=LongType(),
    event_timestamp=TimestampType(),
    available_at=TimestampType(),
)


def at(days):
    return datetime.fromtimestamp(NOW_MS / 1_000, tz=UTC) + timedelta(days=days)


def labels_of(spark, rows, label=LABEL, cut_ms=NOW_MS):
    examples = spark.createDataFrame([("p1",), ("p2",)], EXAMPLES)
    verdicts = spark.createDataFrame(rows, LABELS)
    found = labelled(examples, verdicts, label, cut_ms).collect()
    return sorted((row.example_id, row.label) for row in found)


def test_the_verdict_that_became_known_last_counts(spark):
    rows = [
        ("v1", "p1", 1, at(-3), at(-3)),
        ("v2", "p1", 0, at(-2), at(-2)),
        ("v3", "p2", 0, at(-2), at(-2)),
        ("v4", "p2", 1, at(-2), at(-1)),
        ("v5", "p2", 0, at(-2), at(-2)),
    ]
    assert labels_of(spark, rows) == [("p1", 0), ("p2", 1)]


def test_a_verdict_of_the_future_or_not_yet_available_is_unknown(spark):
    rows = [("v1", "p1", 1, at(1), at(1)), ("v2", "p2", 1, at(-1), at(1))]
    assert labels_of(spark, rows) == [("p1", 0), ("p2", 0)]
    assert labels_of(spark, rows, cut_ms=NOW_MS + DAY_MS) == [("p1", 1), ("p2", 1)]


def test_examples_without_a_verdict_can_be_left_out(spark):
    rows = [("v1", "p1", 0, at(-1), at(-1))]
    dropping = LABEL.model_copy(update={"absent_means": "drop"})
    assert labels_of(spark, rows, dropping) == [("p1", 0)]


def test_examples_carry_keys_requests_and_an_id_of_their_own(spark):
    frame = spark.createDataFrame(
        [("p1", at(0), "c", "t", 7), ("p1", at(1), "c", "t", 8)],
        "event_id string, event_timestamp timestamp, card_id string, terminal_id string, "
        "amount_minor long",
    )
    rows = examples_of(frame, PLAN).collect()
    assert {row.point_id for row in rows} == {f"p1@{NOW_MS}", f"p1@{NOW_MS + DAY_MS}"}
    assert sorted(row.request_amount_minor for row in rows) == [7.0, 8.0]
    assert {(row.card_id, row.terminal_id, row.known_at) for row in rows} == {("c", "t", None)}


def test_only_dates_that_a_point_can_see_are_read(spark):
    days = [(str(at(-offset).date()),) for offset in (0, 29, 32, 45)]
    frame = spark.createDataFrame(days, "day string").selectExpr("CAST(day AS date) AS event_date")
    near = pruned(
        {"payments": frame, "verdicts": frame}, PLAN.views, first_ms=NOW_MS, last_ms=NOW_MS
    )
    assert near["payments"].count() == 2
    assert near["verdicts"].count() == 1
    assert PLAN.views[1].reach_ms == 7 * DAY_MS + 10_800_000
