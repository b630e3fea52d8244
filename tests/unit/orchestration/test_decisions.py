from __future__ import annotations

import pytest

from orchestration.decisions import (
    Go,
    LogState,
    Skip,
    ingest_decision,
    mirror_decision,
    scores_decision,
)

LEVEL = LogState(last_sealed=3, open_bytes=0, ingested=3)
AHEAD = LogState(last_sealed=4, open_bytes=0, ingested=3)
OPEN = LogState(last_sealed=3, open_bytes=120, ingested=3)


def test_ingest_is_skipped_when_the_table_is_level_with_the_log():
    decision = ingest_decision("payments", LEVEL, {}, announced=3)
    assert decision == Skip("payments: table and log both stand at epoch 3")


def test_a_table_ahead_of_what_was_announced_is_announced():
    decision = ingest_decision("payments", LEVEL, {}, announced=2)
    assert isinstance(decision, Go)
    assert "announced up to 2" in decision.why
    assert decision.key != "payments:3"  # the run that died had this key, and it is used up


@pytest.mark.parametrize(("state", "target"), [(AHEAD, 4), (OPEN, 4)])
def test_ingest_goes_to_the_epoch_that_is_ahead(state, target):
    decision = ingest_decision("payments", state, {}, announced=3)
    assert isinstance(decision, Go)
    assert decision.key == f"payments:{target}"


def test_two_looks_at_the_same_log_ask_for_one_run():
    first, second = (ingest_decision("payments", AHEAD, {}, announced=n) for n in (3, 0))
    assert first == second


def test_another_epoch_is_another_run():
    later = LogState(last_sealed=5, open_bytes=0, ingested=3)
    first, second = (ingest_decision("s", state, {}, announced=3) for state in (AHEAD, later))
    assert isinstance(first, Go)
    assert isinstance(second, Go)
    assert first.key != second.key


@pytest.mark.parametrize("other", [AHEAD, OPEN])
def test_ingest_waits_for_a_source_it_refers_to(other):
    decision = ingest_decision("labels", AHEAD, {"payments": other}, announced=3)
    assert isinstance(decision, Skip)
    assert "waits for payments" in decision.why


def test_ingest_does_not_wait_for_a_level_source():
    assert isinstance(ingest_decision("labels", AHEAD, {"payments": LEVEL}, announced=3), Go)


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
