from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from bundles import POLICY, TOY_PLAN, WEIGHTS, expected_score, logistic_onnx

from core.decisions import Decider, DecisionPolicy, Rule
from spark_jobs import scoring
from spark_jobs.audit import null_shares
from spark_jobs.crash import CrashPoints
from spark_jobs.scoring import ROWS_A_CALL, Model, PointScorer, Scorer, session_of


@pytest.fixture
def scorer():
    return Scorer(Model(logistic_onnx(), "toy"), TOY_PLAN, POLICY)


def drawn(n, seed=1):
    rng = np.random.default_rng(seed)
    values = {name: rng.uniform(0, 5_000, n) for name in TOY_PLAN.vector}
    for name in TOY_PLAN.vector:
        values[name][rng.random(n) < 0.2] = np.nan
    return values


def test_scores_decisions_and_nulls_are_those_of_each_row(scorer):
    values = drawn(300)
    columns = scorer.scored(values)
    for row in range(300):
        vector = [None if np.isnan(values[n][row]) else values[n][row] for n in TOY_PLAN.vector]
        score = columns["score"][row].as_py()
        assert score == pytest.approx(expected_score(vector), abs=1e-5)
        said = (columns["decision"][row].as_py(), columns["reason"][row].as_py())
        (decided,) = Decider.of(POLICY, TOY_PLAN).decide(np.array([score]), {})
        assert said == (decided.decision, decided.reason)
    shares = null_shares(pa.chunked_array([columns["nulls"]]), len(WEIGHTS))
    wanted = [np.isnan(values[name]).mean() for name in TOY_PLAN.vector]
    np.testing.assert_allclose(shares, wanted)


def test_rules_over_features_are_decided_as_by_the_service():
    rules = (
        Rule(decision="BLOCK", above=0.9, reason="very_likely"),
        Rule(decision="REVIEW", when="request.amount_minor > 2_500", reason="large"),
        Rule(decision="HOLD", when="is_missing(card_state_v1.limit_minor)", reason="no_limit"),
    )
    policy = DecisionPolicy(rules=rules, default="APPROVE", default_reason="no_sign")
    values = {name: array / 1_000 for name, array in drawn(400).items()}
    values["request:amount_minor"] = drawn(400, seed=2)[TOY_PLAN.vector[0]]
    columns = Scorer(Model(logistic_onnx(), "toy"), TOY_PLAN, policy).scored(values)
    decider = Decider.of(policy, TOY_PLAN)
    for row in range(400):
        alone = {name: array[row : row + 1] for name, array in values.items()}
        score = np.array([columns["score"][row].as_py()])
        (decided,) = decider.decide(score, alone)
        said = (columns["decision"][row].as_py(), columns["reason"][row].as_py())
        assert said == (decided.decision, decided.reason)
    assert set(columns["decision"].to_pylist()) == {"BLOCK", "REVIEW", "HOLD", "APPROVE"}


def test_a_large_batch_is_scored_in_parts_with_the_same_scores(scorer):
    values = drawn(ROWS_A_CALL + 7)
    whole = scorer.scored(values)["score"].to_numpy()
    tail = scorer.scored({name: array[-20:] for name, array in values.items()})
    np.testing.assert_array_equal(whole[-20:], tail["score"].to_numpy())
    assert len(whole) == ROWS_A_CALL + 7


def test_a_worker_makes_one_session_for_one_model():
    model = Model(logistic_onnx(), "same")
    assert session_of(model) is session_of(Model(logistic_onnx(), "same"))
    assert session_of(model) is not session_of(Model(logistic_onnx(bias=1.0), "other"))


def test_points_become_scored_rows_and_keep_what_names_them(scorer):
    batch = pa.RecordBatch.from_pydict(
        {
            "example_id": ["p1"],
            "event_timestamp": pa.array([0], pa.timestamp("us", tz="UTC")),
            "values_0": pa.array([[2.0, 400.0, 10_000.0]], pa.list_(pa.float64())),
            "values_1": pa.array([[float("nan")]], pa.list_(pa.float64())),
            "request_amount_minor": [800.0],
        }
    )
    points = PointScorer(scorer, ("example_id",), CrashPoints())
    (row,) = next(points(iter([batch.slice(0, 0), batch]))).to_pylist()
    # amount, amount over its mean, count, no share of frauds, limit: the plan's vector.
    assert row["score"] == pytest.approx(expected_score([800, 2.0, 2, None, 10_000]), abs=1e-6)
    assert list(row) == ["example_id", *scoring.SCORED.names]
