from __future__ import annotations

import pytest
from training_sets import small_plan, small_use_case

from core.decisions import Decider, DecisionPolicy, Rule
from core.errors import IntegrityError
from training.rule_cases import CASES, rule_cases

PLAN = small_plan()
POLICY = small_use_case().decisions


def changed(old, new):
    rules = tuple(
        rule.model_copy(update={"when": rule.when.replace(old, new)}) if rule.when else rule
        for rule in POLICY.rules
    )
    return Decider.of(POLICY.model_copy(update={"rules": rules}), PLAN)


def test_every_rule_and_the_default_fire_in_some_case():
    cases = rule_cases(POLICY, PLAN, 1)
    assert set(cases.rules) == {None, 0, 1, 2}
    assert len(cases.scores) == CASES
    assert set(cases.values) == {"request:amount_minor", "card_activity_v1:amount_count_7d"}
    assert any(value is None for value in cases.values["request:amount_minor"])
    cases.check(Decider.of(POLICY, PLAN))


def test_one_seed_draws_the_same_cases():
    assert rule_cases(POLICY, PLAN, 1) == rule_cases(POLICY, PLAN, 1) != rule_cases(POLICY, PLAN, 2)


@pytest.mark.parametrize(
    ("old", "new"),
    [("> 20_000", ">= 20_000"), ("> 20_000", "> 20_001"), ("== 0", "< 1"), (" and ", " or ")],
)
def test_a_rule_that_means_another_thing_is_found(old, new):
    cases = rule_cases(POLICY, PLAN, 1)
    with pytest.raises(IntegrityError, match="golden cases"):
        cases.check(changed(old, new))


def test_a_policy_over_the_score_alone_and_one_without_rules_have_cases():
    alone = DecisionPolicy(rules=POLICY.rules[:2], default="APPROVE", default_reason="r")
    assert set(rule_cases(alone, PLAN, 1).rules) == {None, 0, 1}
    none = DecisionPolicy(rules=(), default="APPROVE", default_reason="r")
    assert set(rule_cases(none, PLAN, 1).rules) == {None}


def test_categories_are_drawn_by_their_index():
    rule = Rule(decision="D", when="card_profile_v1.country == 'CH'", reason="r")
    policy = DecisionPolicy(rules=(rule,), default="A", default_reason="r")
    assert set(rule_cases(policy, PLAN, 1).rules) == {None, 0}
