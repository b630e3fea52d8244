from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.decision_diff import DecisionDiff, decision_diff
from core.decisions import Decider, DecisionPolicy, Rule

KNOWN = {"score": (), "request:amount": (), "v:count": (), "t:ratio": ()}
READS = "request.amount >= 100 and v.count == 0 or t.ratio > 3"


def decider(*rules):
    made = tuple(Rule(decision=d, when=when, reason=f"because_{d}") for d, when in rules)
    return Decider(DecisionPolicy(rules=made, default="APPROVE", default_reason="none"), KNOWN)


def record(decision="APPROVE", reason="none", **changes) -> dict[str, Any]:
    made = {
        "score": 0.1,
        "inputs": {"amount": 50},
        "features": {"v": {"values": {"count": 2.0}}},
        "transforms": {"t:ratio": 1.0},
        "decision": decision,
        "reason": reason,
        "received_at_ms": 1_000,
        "model": {"release": 1},
        "degraded": None,
    }
    return made | changes


def diffed(records, *rules):
    return decision_diff([(f"id-{n}", each) for n, each in enumerate(records)], decider(*rules))


def test_moves_reasons_and_examples_are_counted():
    empty = {"v": {"values": {"count": 0.0}}}
    records = [
        record(),
        record(inputs={"amount": 100}, features=empty),
        record(transforms={"t:ratio": 4.0}),
        record("REVIEW", "old"),
        record("BLOCK", "old", score=0.95),
        record("REVIEW", "old", transforms={"t:ratio": 9.0}),
    ]
    diff = diffed(records, ("BLOCK", "score > 0.9"), ("REVIEW", READS))
    assert diff.moves == {
        ("APPROVE", "APPROVE"): 1,
        ("APPROVE", "REVIEW"): 2,
        ("REVIEW", "APPROVE"): 1,
        ("BLOCK", "BLOCK"): 1,
        ("REVIEW", "REVIEW"): 1,
    }
    assert (diff.n, diff.n_changed, diff.n_other_reason) == (6, 3, 2)
    assert diff.changes() == [(("APPROVE", "REVIEW"), 2), (("REVIEW", "APPROVE"), 1)]
    assert diff.reasons["APPROVE", "REVIEW"] == {"because_REVIEW": 2}
    assert diff.examples == {("APPROVE", "REVIEW"): ["id-1", "id-2"],
                             ("REVIEW", "APPROVE"): ["id-3"]}  # fmt: skip


def test_a_few_examples_are_kept_of_each_change():
    diff = diffed([record("REVIEW", "old")] * 10)
    assert diff.examples == {("REVIEW", "APPROVE"): ["id-0", "id-1", "id-2"]}


def test_what_a_record_lacks_is_missing_and_said():
    records = [record(features={}), record(transforms={}), record(inputs={"amount": None})]
    diff = diffed(records, ("REVIEW", f"is_missing(v.count) or {READS}"))
    assert diff.absent == {"v:count": 1, "t:ratio": 1}
    assert diff.moves == {("APPROVE", "REVIEW"): 1, ("APPROVE", "APPROVE"): 2}


def test_a_record_that_hides_what_a_rule_reads_is_left_out():
    hidden = record(inputs={"amount": None}, masked=["entities/card", "inputs/amount"])
    assert diffed([hidden, record()], ("REVIEW", READS)).n_masked == 1
    assert diffed([hidden, record()], ("REVIEW", READS)).n == 1
    assert diffed([hidden, record()], ("REVIEW", "v.count > 1")).n == 2


def test_releases_degradation_and_the_span_are_told():
    records = [
        record(received_at_ms=0, model={"release": 2}),
        record(received_at_ms=7, degraded={"level": "no_features"}),
        record(received_at_ms=3),
    ]
    diff = diffed(records)
    assert (diff.first_ms, diff.last_ms, diff.n_degraded) == (0, 7, 1)
    assert diff.releases == {1: 2, 2: 1}


def test_nothing_is_nothing():
    assert diffed([]) == DecisionDiff()


@pytest.mark.parametrize("size", [1, 3, 100])
def test_records_are_taken_in_parts_with_the_same_counts(size):
    records = [(f"id-{n}", record(score=n / 40)) for n in range(40)]
    policy = decider(("BLOCK", "score > 0.5"))
    whole = decision_diff(records, policy)
    assert decision_diff(records, policy, chunk_records=size) == whole
    assert 0 < whole.n_changed < whole.n == 40


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 200)), max_size=50))
def test_the_policy_that_recorded_changes_nothing(rows):
    same = decider(("BLOCK", "score > 0.9"), ("REVIEW", "request.amount > 100"))
    records = []
    for n, (score, amount) in enumerate(rows):
        made = record(score=score, inputs={"amount": amount})
        values = {"request:amount": np.array([amount])}
        (alone,) = same.decide(np.array([score]), values)
        records.append((f"id-{n}", {**made, "decision": alone.decision, "reason": alone.reason}))
    diff = decision_diff(records, same)
    assert (diff.n, diff.n_changed, diff.n_other_reason) == (len(rows), 0, 0)


def test_records_without_a_score_are_left_out_and_counted():
    records = [record(score=None, degraded={"level": "rules"}), record()]
    diff = diffed(records, ("REVIEW", READS))
    assert (diff.n, diff.n_unscored, diff.n_degraded) == (1, 1, 0)


def test_synthetic_requests_are_nobody_s_and_left_out():
    asked = record(event_id="e1", inputs={"amount": 200}, features={"v": {"values": {"count": 0}}})
    records = [asked, asked | {"event_id": None}, asked | {"event_id": "synthetic:1"}]
    records.append(record(event_id="synthetic:2", score=None))
    diff = diffed(records, ("REVIEW", READS))
    assert (diff.n, diff.n_changed, diff.n_unscored) == (2, 2, 0)
