"""Retention as a pure decision: holds, then need, then time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import DAY_MS, date_start_ms
from core.features.plan import AttributeFeature, ViewPlan, WindowFeature
from core.retention import (
    Hold,
    Piece,
    dated_piece,
    due_ms,
    longest_reach,
    target_plan,
)

NOW_MS = 100 * DAY_MS


def hold(**changes):
    told = {
        "hold_id": "0123456789ab",
        "target": "events/*",
        "who": "Legal",
        "why": "case 7",
        "placed_at_ms": 0,
        "until_ms": NOW_MS + 1,
    }
    return Hold(**(told | changes))


def test_a_piece_is_due_at_the_very_instant_its_period_is_over():
    piece = Piece("p", NOW_MS - 10 * DAY_MS)
    assert target_plan("t", 10, [piece], [], now_ms=NOW_MS).due == ("p",)
    assert target_plan("t", 10, [piece], [], now_ms=NOW_MS - 1).due == ()


def test_a_hold_wins_over_time_and_says_whose_it_is():
    plan = target_plan("events/a", 1, [Piece("p", 0)], [hold()], now_ms=NOW_MS)
    assert plan.due == ()
    assert list(plan.kept) == ["legal hold 0123456789ab by Legal until 1970-04-11"]


@pytest.mark.parametrize(
    "changes",
    [
        {"until_ms": NOW_MS},
        {"placed_at_ms": NOW_MS + 1},
        {"lifted_at_ms": NOW_MS, "lifted_by": "Legal"},
        {"target": "tiles/*"},
        {"target": "events/b"},
    ],
)
def test_a_hold_that_is_over_or_about_something_else_holds_nothing(changes):
    plan = target_plan("events/a", 1, [Piece("p", 0)], [hold(**changes)], now_ms=NOW_MS)
    assert plan.due == ("p",)


def test_what_is_needed_stays_and_is_counted_by_its_reason():
    pieces = [Piece("a", 0, needed="served"), Piece("b", 0, needed="served"), Piece("c", 0, 5, 2)]
    plan = target_plan("t", 1, pieces, [], now_ms=NOW_MS)
    assert (plan.due, plan.due_bytes, plan.due_rows, plan.kept) == (("c",), 5, 2, {"served": 2})


pieces = st.lists(
    st.builds(
        Piece,
        st.text("abc", min_size=1, max_size=3),
        st.integers(0, 200 * DAY_MS),
        st.integers(0, 9),
        st.integers(0, 9),
        st.sampled_from(["", "served"]),
    )
)


@given(pieces, st.integers(1, 150), st.booleans())
def test_every_piece_is_due_young_or_kept_and_the_next_comes_when_it_says(found, days, is_held):
    holds = [hold(target="t")] if is_held else []
    plan = target_plan("t", days, found, holds, now_ms=NOW_MS)
    assert len(plan.due) + plan.n_young + sum(plan.kept.values()) == len(found)
    assert not (is_held and plan.due)
    if plan.next_due_ms is None:
        assert plan.n_young == 0
        return
    assert plan.next_due_ms > NOW_MS
    before = target_plan("t", days, found, [], now_ms=plan.next_due_ms - 1)
    then = target_plan("t", days, found, [], now_ms=plan.next_due_ms)
    assert before.n_young == plan.n_young > then.n_young


def test_a_date_counts_from_its_end():
    assert due_ms(dated_piece("2026-01-01"), 1) == date_start_ms("2026-01-03")


def view(**changes):
    told = {"name": "v", "entity": "e", "join_keys": ("k",), "source": "s", "columns": {}}
    return ViewPlan(**(told | changes))


def window(window_ms, grid_ms):
    return WindowFeature(
        name=f"w{window_ms}", function="count", column="", window_ms=window_ms, grid_ms=grid_ms
    )


def test_a_view_reaches_as_far_as_its_longest_window_with_its_tail_or_its_ttl():
    assert view(windows=(window(100, 10), window(50, 25))).reach_ms == 110
    named = (AttributeFeature(name="a", column="a"),)
    assert view(attributes=named, ttl_ms=70).reach_ms == 70
    assert view(attributes=named).reach_ms is None
    assert longest_reach([view(attributes=named)], "s") == (0, "v")


def test_the_longest_reach_is_that_of_the_source_s_own_views():
    views = [
        view(windows=(window(100, 10),)),
        view(name="other", source="z", windows=(window(900, 10),)),
    ]
    assert longest_reach(views, "s") == (110, "v")
    assert longest_reach(views, "none") == (0, "")
