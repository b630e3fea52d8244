from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from payments import PLAN
from pydantic import ValidationError

from core.decisions import MARGIN, Decider, DecisionPolicy, Rule
from core.errors import IntegrityError
from core.features.plan import canonical_json

OLD: dict[str, Any] = {
    "rules": [
        {"decision": "BLOCK", "above": 0.9, "reason": "very"},
        {"decision": "REVIEW", "above": 0.5, "reason": "likely"},
    ],
    "default": "APPROVE",
    "default_reason": "none",
}


def decided(policy, *scores):
    return [d.decision for d in Decider(policy, {"score": ()}).decide(np.array(scores), {})]


def old_decision(score):
    """The form over the score alone, as it was before there were conditions."""
    for rule in OLD["rules"]:
        if float(score) > rule["above"] + 5e-6:
            return rule["decision"]
    return "APPROVE"


@given(st.lists(st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.9, 0.5]).flatmap(lambda c: st.sampled_from(
        [c, c + MARGIN, math.nextafter(c + MARGIN, 1), c - MARGIN, math.nextafter(c + MARGIN, 0)]
    )),
), min_size=1, max_size=30))  # fmt: skip
def test_the_simple_form_decides_as_it_always_did_bit_for_bit(scores):
    policy = DecisionPolicy.model_validate(OLD)
    spelled = DecisionPolicy(
        rules=(
            Rule(decision="BLOCK", when="score > 0.9", reason="very"),
            Rule(decision="REVIEW", when="0.5 < score", reason="likely"),
        ),
        default="APPROVE",
        default_reason="none",
    )
    expected = [old_decision(score) for score in scores]
    assert decided(policy, *scores) == decided(spelled, *scores) == expected


def test_a_policy_of_the_simple_form_keeps_its_bytes():
    policy = DecisionPolicy.model_validate(OLD)
    assert canonical_json(policy.model_dump(mode="json")) == canonical_json(OLD)
    assert DecisionPolicy.model_validate_json(policy.model_dump_json()) == policy


def test_a_condition_is_written_as_it_was_declared():
    rule = Rule(decision="REVIEW", when="v.a > 1", reason="r")
    assert rule.model_dump() == {"decision": "REVIEW", "when": "v.a > 1", "reason": "r"}
    assert Rule.model_validate_json(rule.model_dump_json()) == rule


@pytest.mark.parametrize(
    "given", [{}, {"above": 0.5, "when": "score > 0.5"}, {"when": ""}, {"above": 1.0}]
)
def test_a_rule_says_one_thing(given):
    with pytest.raises(ValidationError):
        Rule(decision="D", reason="r", **given)


@pytest.mark.parametrize(
    ("when", "score", "is_true"),
    [
        ("score > 0.9", 0.9 + MARGIN, False),
        ("score > 0.9", math.nextafter(0.9 + MARGIN, 1), True),
        ("score <= 0.9", 0.9 + MARGIN, True),
        ("score >= 0.9", 0.9 - MARGIN, True),
        ("score >= 0.9", math.nextafter(0.9 - MARGIN, 0), False),
        ("score < 0.9", 0.9 - MARGIN, False),
        ("score < 0.9", math.nextafter(0.9 - MARGIN, 0), True),
        ("score * 1 > 0.9", math.nextafter(0.9, 1), True),
    ],
)
def test_the_score_keeps_a_margin_against_a_constant(when, score, is_true):
    policy = DecisionPolicy(
        rules=(Rule(decision="D", when=when, reason="r"),), default="A", default_reason="r"
    )
    assert (decided(policy, score) == ["D"]) == is_true


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_what_is_no_score_is_not_decided(score):
    with pytest.raises(IntegrityError, match="a score is not a number"):
        decided(DecisionPolicy.model_validate(OLD), score)


def test_a_row_without_a_score_counts_as_the_default_in_an_array():
    rules = (Rule(decision="D", when="is_missing(v.a)", reason="r"),)
    policy = DecisionPolicy(rules=rules, default="A", default_reason="r")
    decider = Decider(policy, {"score": (), "v:a": ()})
    scores, values = np.array([math.nan, 0.2]), {"v:a": np.array([math.nan, math.nan])}
    assert decider.fired(scores, values).tolist() == [1, 0]


def test_thresholds_and_sides_are_those_of_every_form():
    rules = (
        Rule(decision="A", above=0.9, reason="r"),
        Rule(decision="B", when="score >= 0.7 and v.a > 0.3 or score * 2 > v.a", reason="r"),
        Rule(decision="C", when="not 0.9 < score < 0.2", reason="r"),
    )
    policy = DecisionPolicy(rules=rules, default="D", default_reason="r")
    assert policy.thresholds == (0.9, 0.7, 0.2)
    lines = [0.9 + MARGIN, 0.7 - MARGIN, 0.9 + MARGIN, 0.2 - MARGIN]
    for column, line in enumerate(lines):
        below, above = (math.nextafter(line, end) for end in (0, 1))
        assert policy.sides(np.array([below, above]))[:, column].tolist() == [False, True]
    assert DecisionPolicy(rules=(), default="D", default_reason="r").sides(np.ones(3)).shape == (
        3,
        0,
    )


def test_a_plan_gives_every_name_that_a_rule_may_read():
    rules = tuple(
        Rule(decision=f"D{n}", when=when, reason="r")
        for n, when in enumerate(
            [
                "request.amount_minor > 100 and card_activity_v1.amount_minor_count_1d == 0",
                "payment_v1.amount_over_mean > 3",
            ]
        )
    )
    decider = Decider.of(DecisionPolicy(rules=rules, default="A", default_reason="r"), PLAN)
    values = {
        "request:amount_minor": np.array([101.0, 101.0]),
        "card_activity_v1:amount_minor_count_1d": np.array([0.0, 1.0]),
        "payment_v1:amount_over_mean": np.array([np.nan, 4.0]),
    }
    assert set(decider.reads) == set(values)
    assert [d.rule for d in decider.decide(np.array([0.1, 0.1]), values)] == [0, 1]
