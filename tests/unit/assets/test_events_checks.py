"""Checks of tables that tell and do not stop: what they count, and that each can fail."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from payments import DAY_MS, NOW_MS, PAYMENTS, payment
from served_world import write_events

from assets.checks.events import MAX_REFUSED_SHARE, REJECTS, results
from assets.checks.expectations import GREAT_EXPECTATIONS
from assets.features import fresh
from assets.rejects import all_landed
from core.clock import event_date
from core.features.keys import position

DATE = event_date(NOW_MS - DAY_MS)
ACCEPTED = 95


def accepted(platform, n=ACCEPTED):
    rows = [payment(f"e{i}", NOW_MS - DAY_MS + i, position=position(1, i)) for i in range(n)]
    write_events(platform.layout, PAYMENTS.name, rows, epoch=1)


def refused(platform, **codes):
    """Refused records of the date, how many of each code."""
    names = [code for code, n in codes.items() for _ in range(n)]
    table = pa.table(
        {
            "code": names,
            "replayed_epoch": pa.array([None] * len(names), pa.int64()),
            "event_date": pa.array([date.fromisoformat(DATE)] * len(names), pa.date32()),
        }
    )
    write_deltalake(platform.layout.rejected(PAYMENTS.name), table, partition_by=["event_date"])


def judged(platform):
    return {result.check_name: result for result in results(platform, PAYMENTS, [DATE])}


def test_without_a_table_both_checks_fail_and_say_so(platform):
    found = judged(platform)
    assert {name: (r.passed, r.description) for name, r in found.items()} == {
        name: (False, "there is no table yet") for name in (GREAT_EXPECTATIONS, REJECTS)
    }


def test_a_table_of_which_nothing_was_refused_passes(platform):
    accepted(platform)
    found = judged(platform)
    assert all(result.passed for result in found.values())
    assert found[GREAT_EXPECTATIONS].metadata["rows"].value == ACCEPTED


@pytest.mark.parametrize(("n", "passed"), [(5, True), (6, False)])
def test_more_than_a_twentieth_refused_is_told_with_the_codes(platform, n, passed):
    accepted(platform)
    refused(platform, pattern=2, out_of_range=n - 2)
    result = judged(platform)[REJECTS]
    assert result.passed is passed
    assert result.description == f"out_of_range {n - 2}, pattern 2"
    assert result.metadata["refused"].value == n
    assert result.metadata["limit"].value == MAX_REFUSED_SHARE


def test_dates_that_were_not_ingested_now_are_not_judged(platform):
    accepted(platform)
    refused(platform, pattern=90)
    other = results(platform, PAYMENTS, ["2020-01-01"])
    by_name = {result.check_name: result for result in other}
    assert by_name[REJECTS].passed
    assert not by_name[GREAT_EXPECTATIONS].passed  # no row of that date: an empty batch


@pytest.mark.parametrize(("read", "newest", "passed"), [(4, 4, True), (3, 4, False)])
def test_tiles_of_an_older_table_are_not_fresh(read, newest, passed):
    result = fresh({"events_version": read}, newest)
    assert result.passed is passed
    assert result.metadata["newest"].value == newest


@pytest.mark.parametrize(("landed", "passed"), [({"7": 3}, True), ({"7": 2}, False)])
def test_a_chosen_record_that_was_not_landed_is_missed(landed, passed):
    result = all_landed({"by_code": {"pattern": 2, "malformed": 1}, "landed": landed})
    assert result.passed is passed
    assert result.metadata["chosen"].value == 3
