"""Batch beside events: what is found when a read counts an event twice, or a table loses one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from payments import NOW_MS, PAYMENTS, PLAN

from benchmarks.chaos.batch import Live, reads_of
from benchmarks.chaos.batch_proof import Compared, Kept, Read, compared, event_rows, kept
from benchmarks.chaos.report import OTHERS, Report
from benchmarks.events.load import payments, strewn
from core.clock import DAY_MS
from core.features.keys import entity_key, position
from core.features.oracle import Row
from stores.layout import Layout

VIEW = PLAN.view("card_activity_v1")
CARD, SECOND = entity_key(["c1"]), position(1, 1)


def read(count, mean, *, seen=SECOND):
    values = dict(zip(VIEW.feature_names, (count, mean), strict=True))
    return Read(VIEW.name, CARD, NOW_MS, seen, values)


def rows(*amounts):
    found = [
        Row(f"e{n}", CARD, NOW_MS - 1_000, NOW_MS, position(1, n), {"amount_minor": amount})
        for n, amount in enumerate(amounts)
    ]
    return {VIEW.name: {CARD: found}}


def test_a_read_is_held_to_what_it_says_that_it_saw():
    found = compared([read(2.0, 15.0)], [VIEW], rows(10, 20, 90))
    assert found == Compared(reads=1, values=2, wrong=0)
    whole = compared([read(2.0, 15.0)], [VIEW], rows(10, 20, 90), is_whole=True)
    assert (whole.values, whole.wrong) == (2, 2)
    assert "amount_minor_count_1d" in whole.worst
    assert "read 2.0, oracle 3" in whole.worst


def test_an_event_counted_twice_or_not_at_all_is_wrong():
    for count, mean in ((3.0, 15.0), (1.0, 15.0), (None, 15.0)):
        assert compared([read(count, mean)], [VIEW], rows(10, 20)).wrong == 1
    nothing = read(0.0, None, seen=None)
    assert compared([nothing], [VIEW], {VIEW.name: {}}).wrong == 0


def test_rows_and_ids_are_read_from_the_table(tmp_path):
    layout = Layout(tmp_path)
    instants = pa.array([NOW_MS * 1_000] * 3, pa.timestamp("us", tz="UTC"))
    table = pa.table(
        {
            "event_id": ["a", "b", "b"],
            "event_timestamp": instants,
            "available_at": instants,
            "position": [1, 2, 3],
            "card_id": ["c1", "c2", "c2"],
            "amount_minor": [10, 20, 20],
        }
    )
    write_deltalake(layout.events(PAYMENTS.name), table)
    held = event_rows(layout, VIEW)
    assert held[CARD] == [Row("a", CARD, NOW_MS, NOW_MS, 1, {"amount_minor": 10})]
    assert kept(["a", "c"], layout, PAYMENTS.name) == Kept(acknowledged=2, missing=1, doubled=1)


def test_a_record_is_read_with_the_card_that_was_asked_about():
    record = {
        "at_ms": NOW_MS,
        "entities": {"card_id": "masked:1", "terminal_id": "t1"},
        "features": {
            VIEW.name: {"status": "PRESENT", "seen_position": 7, "values": {"n": 1.0}},
            "terminal_risk_v1": {"status": "unavailable", "seen_position": None, "values": {}},
        },
    }
    assert list(reads_of(PLAN.views, record, "c1")) == [
        Read(VIEW.name, CARD, NOW_MS, 7, {"n": 1.0})
    ]


def test_what_is_lost_doubled_or_too_little_to_tell_misses_a_floor():
    report = Report()
    events, wrong = Kept(9_000, missing=1, doubled=2), Compared(600, 9_000, 3, "worst")
    report.live(Live(9, 6, events, under_load=wrong, at_rest=Compared(100, 1_400, 0)))
    assert {floor.what for floor in report.floors if not floor.is_met} == {
        "batch: acknowledged events not in the table",
        "batch: events that are in the table twice",
        "batch: values served meanwhile, not the oracle's",
        "batch: reads looked at at rest",
    }
    assert "3 of 9,000 values that 600 reads" in report.rows[OTHERS][0]


def test_events_are_dated_by_when_they_leave_some_of_them_days_before():
    due_s = np.linspace(0, 60, 2_000).tolist()
    drawn = payments(2_000, cards=5, run="x", now_ms=NOW_MS)
    sent = list(strewn(drawn, due_s, now_ms=NOW_MS, seed=1))
    ages_ms = [
        NOW_MS + 1_000 * due - event["event_timestamp"]
        for due, event in zip(due_s, sent, strict=True)
    ]
    assert min(ages_ms) > -1
    assert max(ages_ms) > 2 * DAY_MS
    assert 0.6 < np.mean(np.array(ages_ms) < 2_000) < 0.8
