from __future__ import annotations

from datetime import date

import pytest
from payments import VERDICTS
from pyspark.sql.types import DateType, IntegerType, LongType, StringType

from spark_jobs import verdicts as v
from spark_jobs.tables import struct

pytestmark = pytest.mark.spark

SCHEMA = struct(
    event_date=DateType(),
    event_id=StringType(),
    payload_digest=StringType(),
    epoch=LongType(),
    offset=LongType(),
    position=LongType(),
    partition=IntegerType(),
    code=StringType(),
    field=StringType(),
    message=StringType(),
    payment_id=StringType(),
)
DAY = date(2026, 1, 1)


def row(event_id, digest, position, code=None, partition=0, day=DAY):
    return (day, event_id, digest, 1, position, position, partition, code, None, None, "p1")


def frame(spark, *rows):
    return spark.createDataFrame(rows, SCHEMA)


def judged(found):
    return {(r.position, r.partition): (r.verdict, r.code) for r in found.collect()}


PARSED = (
    row("a", "x", 1),
    row("a", "x", 2),
    row("a", "y", 3),
    row("b", "x", 4, code="out_of_range"),
    row("b", "z", 5),
    row("a", "x", 6, day=date(2026, 1, 2)),
)
WANTED = {
    (1, 0): ("accepted", None),
    (2, 0): ("duplicate", None),
    (3, 0): ("rejected", "duplicate_conflict"),
    (4, 0): ("rejected", "out_of_range"),
    (5, 0): ("accepted", None),  # a refused row does not take the id
    (6, 0): ("accepted", None),  # an id is unique with its date
}


def test_the_first_row_of_an_id_and_date_wins(spark):
    assert judged(v.verdicts(frame(spark, *PARSED), None)) == WANTED


def test_a_row_of_the_table_wins_over_the_batch_and_is_itself_when_it_comes_again(spark):
    held = frame(spark, row("a", "y", 3), row("b", "z", 5))
    found = judged(v.verdicts(frame(spark, *PARSED), held))
    assert found[(1, 0)] == ("rejected", "duplicate_conflict")
    assert found[(3, 0)] == ("accepted", None)
    assert found[(5, 0)] == ("accepted", None)
    elsewhere = v.verdicts(frame(spark, row("a", "y", 3, partition=1)), held)
    assert judged(elsewhere) == {(3, 1): ("duplicate", None)}


@pytest.mark.parametrize("few", [0, 1_000])
def test_whole_rows_get_the_verdicts_of_the_narrow_ones(spark, few, monkeypatch):
    monkeypatch.setattr(v, "FEW", few)
    parsed = frame(spark, *PARSED)
    narrow = v.verdicts(parsed.select(v.narrow_columns(VERDICTS)), None)
    whole = v.with_verdicts(parsed, narrow)
    assert judged(whole) == WANTED
    clean = frame(spark, row("a", "x", 1))
    assert judged(v.with_verdicts(clean, v.verdicts(clean, None))) == {(1, 0): ("accepted", None)}


def test_what_was_put_down_as_refused_stays_refused_whatever_has_come_since(spark):
    parsed = frame(spark, row("a", "x", 1), row("b", "x", 2))
    found = v.still_refused(parsed, frame(spark, row("a", "x", 1, code="unknown_reference")))
    assert {r.position: r.code for r in found.collect()} == {1: "unknown_reference", 2: None}


def test_a_reference_that_is_null_refers_to_nothing(spark):
    rows = spark.createDataFrame(
        [(*row("a", "x", 1)[:-1], None), row("b", "x", 2), (*row("c", "x", 3)[:-1], "gone")], SCHEMA
    )
    target = spark.createDataFrame([("p1",), ("p1",)], "event_id string")
    found = v.unknown_references(rows, VERDICTS.references[0], target)
    assert {r.position: r.code for r in found.collect()} == {
        1: None,
        2: None,
        3: "unknown_reference",
    }
