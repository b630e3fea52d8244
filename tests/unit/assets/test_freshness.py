"""How old tables are, held to what was declared and to how long they paused before."""

from __future__ import annotations

import pytest
from deltalake import DeltaTable
from watched_world import NEWEST, TODAY_MS, USE_CASE, WatchedWorld

from assets.watching.freshness import ages_of, fresh, limit_hours, newest_ms
from core.clock import DAY_MS
from stores.layout import Layout


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return WatchedWorld(Layout(tmp_path_factory.mktemp("home")))


def test_tables_that_came_yesterday_are_fresh_and_those_never_written_are_left_out(world):
    ages = ages_of(world.platform, USE_CASE)
    assert set(ages) == {"events/payments", "events/verdicts"}
    assert all(12 <= age.hours < 14 for age in ages.values())
    assert fresh(ages).passed


def test_a_table_that_stands_still_is_named(world):
    table = DeltaTable(world.layout.events("payments"))
    version = table.version()
    table.delete("event_date >= '2025-12-30'")
    result = fresh(ages_of(world.platform, USE_CASE))
    DeltaTable(world.layout.events("payments")).restore(version)
    assert not result.passed
    assert result.metadata["cause"].value == "events/payments"
    assert "may pause for 26 h at most" in (result.description or "")


def test_the_newest_row_is_known_from_the_tables_statistics(world):
    newest = newest_ms(world.layout.events("payments"), "available_at")
    assert newest is not None
    assert TODAY_MS - DAY_MS < newest < TODAY_MS
    assert NEWEST == "2025-12-31"


def test_a_source_that_pauses_may_pause_for_twice_as_long():
    dates = [f"2026-01-{day:02}" for day in (1, 2, 5, 6, 13, 14)]
    assert limit_hours(dates, 26) == 26 + 2 * 6 * 24
    assert limit_hours(dates[:4], 26) is None
