from __future__ import annotations

from dataclasses import replace

import pytest

from orchestration.decisions import (
    Go,
    LogState,
    Patience,
    Skip,
    again,
    ingest_decision,
    is_ripe,
    mirror_decision,
    scores_decision,
)

NOW_MS = 1_000_000
LEVEL = LogState(last_sealed=3, open_bytes=0, ingested=3, covered_ms=300)
AHEAD = LogState(
    last_sealed=5, open_bytes=0, ingested=3, pending=((4, 400), (5, 500)), covered_ms=300
)
OPEN = LogState(
    last_sealed=3,
    open_bytes=120,
    ingested=3,
    open_events=2,
    open_since_ms=NOW_MS - 20_000,
    covered_ms=450,
)
PATIENCE = Patience(events=100, age_s=60)


def decided(source, state, references=None, *, announced=3):
    return ingest_decision(
        source, state, references or {}, announced=announced, patience=PATIENCE, now_ms=NOW_MS
    )


def test_ingest_is_skipped_when_the_table_is_level_with_the_log():
    assert decided("payments", LEVEL) == Skip("payments: table and log both stand at epoch 3")


@pytest.mark.parametrize("state", [LEVEL, OPEN])
def test_a_table_ahead_of_what_was_announced_is_announced(state):
    decision = decided("payments", state, announced=2)
    assert isinstance(decision, Go)
    assert decision.epoch == 3
    assert "announced up to 2" in decision.why
    assert decision.key != "payments:3"  # the run that died had this key, and it is used up


def test_ingest_goes_to_the_last_sealed_epoch():
    decision = decided("payments", AHEAD)
    assert isinstance(decision, Go)
    assert (decision.key, decision.epoch) == ("payments:5", 5)


def test_open_events_wait_for_more_of_them_or_for_their_time():
    assert decided("payments", OPEN) == Skip(
        "payments: 2 events wait, the first for 20 s; they are ingested from 100 on, or after 60 s"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"open_events": 99}, False),
        ({"open_events": 100}, True),
        ({"open_since_ms": NOW_MS - 59_999}, False),
        ({"open_since_ms": NOW_MS - 60_000}, True),
        ({"open_events": 0, "open_since_ms": 0}, False),
        ({"open_events": 100, "last_sealed": 4}, False),
    ],
)
def test_an_epoch_is_sealed_when_it_is_full_or_old_and_none_waits(changes, expected):
    assert is_ripe(replace(OPEN, **changes), PATIENCE, NOW_MS) is expected


def test_two_looks_at_the_same_log_ask_for_one_run():
    assert decided("payments", AHEAD, announced=3) == decided("payments", AHEAD, announced=0)


def test_another_epoch_is_another_run():
    later = replace(AHEAD, last_sealed=6, pending=(*AHEAD.pending, (6, 600)))
    first, second = decided("s", AHEAD), decided("s", later)
    assert isinstance(first, Go)
    assert isinstance(second, Go)
    assert first.key != second.key


def test_ingest_waits_for_a_source_whose_table_lacks_what_came_before():
    decision = decided("labels", AHEAD, {"payments": replace(AHEAD, covered_ms=399)})
    assert decision == Skip("labels: waits for payments, whose table lacks what came before")


def test_ingest_waits_for_a_source_of_which_there_is_no_table():
    empty = LogState(last_sealed=0, open_bytes=0, ingested=0)
    decision = decided("labels", AHEAD, {"payments": empty})
    assert isinstance(decision, Skip)
    assert "nothing was ingested yet" in decision.why


def test_ingest_does_not_wait_for_a_level_source():
    decision = decided("labels", AHEAD, {"payments": LEVEL})
    assert isinstance(decision, Go)
    assert decision.epoch == 5


def test_a_source_that_never_rests_holds_back_only_what_came_after_it_was_ingested():
    decision = decided("labels", AHEAD, {"payments": OPEN})
    assert isinstance(decision, Go)
    assert decision.epoch == 4  # sealed at 400; the table of payments covers 450, and not 500


def test_a_run_that_is_asked_for_again_goes_as_far():
    decision = again(Go("payments:4", "why", epoch=4), failed=1)
    assert isinstance(decision, Go)
    assert (decision.key, decision.epoch) == ("payments:4:again-1", 4)


def test_scores_need_a_champion():
    decision = scores_decision("fraud", "2026-01-01", None, {"v": True})
    assert decision == Skip("fraud: no release is champion; train one first")


def test_scores_need_tiles_of_every_view():
    decision = scores_decision("fraud", "2026-01-01", 3, {"a": True, "b": False})
    assert decision == Skip("fraud: no tiles yet of b")


def test_scores_of_a_date_by_a_release_are_asked_for_once():
    decision = scores_decision("fraud", "2026-01-01", 3, {"a": True})
    assert isinstance(decision, Go)
    assert decision.key == "fraud:2026-01-01:3"
    assert decision != scores_decision("fraud", "2026-01-01", 4, {"a": True})


def test_aliases_that_say_what_is_served_need_nothing():
    served = {"fraud": {"champion": 2}}
    assert isinstance(mirror_decision("1:0", served, {"fraud": {"champion": 2}}), Skip)


@pytest.mark.parametrize(
    "actual",
    [{}, {"fraud": {}}, {"fraud": {"champion": 1}}, {"fraud": {"champion": 2, "shadow": 1}}],
)
def test_an_alias_that_differs_is_put_back(actual):
    decision = mirror_decision("1:0", {"fraud": {"champion": 2}}, actual)
    assert isinstance(decision, Go)
    assert "fraud" in decision.why


def test_an_alias_moved_twice_is_put_back_twice():
    served, moved = {"fraud": {"champion": 2}}, {"fraud": {"champion": 1}}
    first, second = mirror_decision("1:0", served, moved), mirror_decision("1:1", served, moved)
    assert isinstance(first, Go)
    assert isinstance(second, Go)
    assert first.key != second.key
