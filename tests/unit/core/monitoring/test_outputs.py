"""Silent failures: a batch that reported success and wrote something wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.decisions import DecisionPolicy, Rule
from core.monitoring.outputs import output_faults

N = 200
POLICY = DecisionPolicy(
    rules=(
        Rule(decision="BLOCK", above=0.9, reason="a"),
        Rule(decision="REVIEW", above=0.5, reason="b"),
        Rule(decision="REVIEW", when="request.amount > 5", reason="c"),
    ),
    default="APPROVE",
    default_reason="d",
)
SCORES = np.linspace(0.0, 1.0, N)


def batch(**changes: Any) -> list[str]:
    made: dict[str, Any] = {
        "subjects": [f"e{n}" for n in range(N)],
        "scores": SCORES,
        "decisions": ["BLOCK" if s > 0.9 else "REVIEW" if s > 0.5 else "APPROVE" for s in SCORES],
        "releases": [3] * N,
        "expected": [f"e{n}" for n in range(N)],
        "policy": POLICY,
        "release": 3,
    }
    return output_faults(**(made | changes))


def test_a_sound_batch_has_no_fault():
    assert batch() == []
    assert batch(expected=None) == []


def test_a_rule_on_other_values_may_decide_where_no_score_rule_does():
    decisions = ["BLOCK" if s > 0.9 else "REVIEW" for s in SCORES]
    assert batch(decisions=decisions) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"subjects": ["e0"] * N}, "199 rows are about what another is about"),
        ({"expected": [f"e{n}" for n in range(N + 50)]}, "50 of 250 expected have no row"),
        ({"expected": [f"e{n}" for n in range(N - 1)]}, "1 rows are about nothing"),
        ({"scores": np.where(SCORES < 0.1, np.nan, SCORES)}, "20 scores are no chances"),
        ({"scores": np.full(N, 0.25)}, "all 200 scores are 0.25"),
        ({"decisions": ["APPROVE"] * N}, "100 rows are decided otherwise than the policy"),
        ({"decisions": ["PANIC"] * N}, "200 rows are decided as the policy never does"),
        ({"releases": [2] + [3] * (N - 1)}, "rows of release 2 among those of release 3"),
    ],
)
def test_each_silent_failure_is_said(changes, said):
    assert any(said in fault for fault in batch(**changes))
