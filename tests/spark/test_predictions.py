from __future__ import annotations

import json

import pytest
from payments import DAY_MS, NOW_MS
from recorded import ship, toy_record

from spark_jobs import predictions
from spark_jobs.delta import metadata_of, read_table, writer_number
from stores.layout import Layout
from stores.records.shared import open_segments

pytestmark = pytest.mark.spark


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path)


def taken(spark, layout, **changes):
    told = {"root": str(layout.root), "now_ms": NOW_MS, "use_case": "toy"} | changes
    return predictions.run(spark, predictions.Arguments(**told))


def ids_in_table(spark, layout):
    rows = read_table(spark, layout.predictions("toy")).select("prediction_id").collect()
    return sorted(row[0] for row in rows)


def left(layout):
    return [segment.name for segment in open_segments(layout.segments("toy")).waiting()]


def test_every_record_becomes_one_row_and_segments_leave(spark, layout):
    ids = ship(
        layout,
        [
            [toy_record(), toy_record(NOW_MS - DAY_MS, score=0.75, decision="REVIEW")],
            [toy_record(degraded={"level": "no_features", "because": "x"})],
        ],
    )
    report = taken(spark, layout)
    assert (report.segments, report.rows, report.damaged) == (2, 3, ())
    assert report.touched == {"2025-12-31": 1, "2026-01-01": 2}
    assert left(layout) == []
    rows = {r["prediction_id"]: r for r in read_table(spark, layout.predictions("toy")).collect()}
    assert sorted(rows) == sorted(ids)
    second, third = rows[ids[1]], rows[ids[2]]
    assert (second["score"], second["decision"], second["release"]) == (0.75, "REVIEW", 1)
    assert str(second["event_date"]) == "2025-12-31"
    assert third["degraded"] == "no_features"
    assert json.loads(second["record"])["entities"] == {"card_id": "c1", "terminal_id": "t1"}


def test_a_segment_that_comes_again_adds_nothing(spark, layout):
    ids = ship(layout, [[toy_record(), toy_record()]])
    store = open_segments(layout.segments("toy"))
    (name,) = left(layout)
    content = store.read(name)
    taken(spark, layout)
    store.put(name, content)
    more = ship(layout, [[toy_record()]])
    report = taken(spark, layout)
    assert report.segments == 2
    assert ids_in_table(spark, layout) == sorted(ids + more)
    assert left(layout) == []


def test_a_damaged_segment_is_set_aside_and_named_and_the_others_are_taken(spark, layout):
    ids = ship(layout, [[toy_record()], [b"no json"]])
    store = open_segments(layout.segments("toy"))
    whole = ship(layout, [[toy_record(), toy_record()]])
    torn = sorted(set(left(layout)) & {f"{i.split('-')[1]}-0.sealed" for i in whole})[0]
    content = store.read(torn)
    store.put(torn, content[:-3])
    report = taken(spark, layout)
    assert report.segments == 1
    assert left(layout) == []
    assert list(report.damaged) == store.aside()
    assert torn in report.damaged
    assert len(report.damaged) == 2
    assert ids_in_table(spark, layout) == [ids[0]]
    store.put(torn, content)
    assert taken(spark, layout).damaged == report.damaged
    assert ids_in_table(spark, layout) == sorted([ids[0], *whole])


def test_nothing_there_is_nothing_done(spark, layout):
    report = taken(spark, layout)
    assert (report.segments, report.rows, report.version) == (0, 0, -1)


def test_a_limit_leaves_the_rest_for_the_next_run(spark, layout):
    ids = ship(layout, [[toy_record()] for _ in range(3)])
    report = taken(spark, layout, max_segments=2)
    assert (report.segments, report.waiting) == (2, 1)
    taken(spark, layout)
    assert ids_in_table(spark, layout) == sorted(ids)


def test_each_run_is_a_commit_that_says_what_it_took(spark, layout):
    for n in range(1, 3):
        ship(layout, [[toy_record()] for _ in range(n)])
        report = taken(spark, layout)
        uri = layout.predictions("toy")
        assert writer_number(spark, uri, predictions.WRITER) == n
        assert metadata_of(spark, uri, report.version) == {"segments": n}
