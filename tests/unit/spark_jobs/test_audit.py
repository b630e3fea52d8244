from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from spark_jobs.audit import AuditLimits, audit
from stores.shelf.profile import profile_of

VECTOR = tuple(f"v:f{n}" for n in range(9))


def profile(rng, n=5_000):
    vectors = rng.normal(size=(n, 9)).astype(np.float32)
    vectors[rng.random((n, 9)) < 0.1] = np.nan
    return profile_of(vectors, VECTOR, rng.beta(1, 5, n), {"APPROVE": n})


def scored(rng, n=2_000, *, null_share=0.1, shape=5.0):
    nulls = np.packbits(rng.random((n, 9)) < null_share, axis=1)
    return pa.table(
        {
            "score": rng.beta(1, shape, n),
            "decision": ["APPROVE"] * n,
            "nulls": pa.array([row.tobytes() for row in nulls], pa.binary()),
        }
    )


def test_scores_like_those_of_training_pass():
    rng = np.random.default_rng(0)
    outcome = audit(scored(rng), VECTOR, profile(rng), AuditLimits(), expected_rows=2_000)
    assert outcome.is_passed, outcome.faults
    assert outcome.decisions == {"APPROVE": 2_000}
    assert outcome.score_shift < 0.02


@pytest.mark.parametrize(
    ("changes", "expected_rows", "fault"),
    [
        ({}, 2_001, "2000 rows scored, 2001 expected"),
        ({"shape": 1.0}, 2_000, "scores moved"),
        ({"null_share": 0.6}, 2_000, "share of nulls"),
        ({"n": 0}, 0, "nothing was scored"),
    ],
)
def test_each_fault_is_named_with_its_numbers(changes, expected_rows, fault):
    rng = np.random.default_rng(1)
    table = scored(rng, **changes)
    outcome = audit(table, VECTOR, profile(rng), AuditLimits(), expected_rows=expected_rows)
    assert len(outcome.faults) == 1
    assert fault in outcome.faults[0]


def test_a_score_that_is_no_number_fails_whatever_the_limits():
    rng = np.random.default_rng(2)
    table = scored(rng, n=3)
    table = table.set_column(0, "score", pa.array([0.1, float("nan"), 0.2]))
    outcome = audit(table, VECTOR, profile(rng), AuditLimits(), expected_rows=3)
    assert outcome.faults == ("1 scores are not numbers",)


def test_few_rows_are_not_judged_by_their_distribution():
    rng = np.random.default_rng(3)
    table = scored(rng, n=30, shape=1.0, null_share=0.9)
    assert audit(table, VECTOR, profile(rng), AuditLimits(), expected_rows=30).is_passed


def test_an_empty_date_may_be_declared_as_allowed():
    rng = np.random.default_rng(4)
    limits = AuditLimits(is_empty_allowed=True)
    assert audit(scored(rng, n=0), VECTOR, profile(rng), limits, expected_rows=0).is_passed
