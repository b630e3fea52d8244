from __future__ import annotations

import pytest

from core.decisions import DecisionPolicy, Rule, check_policy
from core.errors import ConfigurationError


def policy(*rules):
    made = tuple(
        Rule(decision=f"D{n}", reason="r", **({"when": r} if isinstance(r, str) else {"above": r}))
        for n, r in enumerate(rules)
    )
    return DecisionPolicy(rules=made, default="A", default_reason="r")


@pytest.mark.parametrize(
    ("rules", "number"),
    [
        ((0.5, 0.9), 2),
        ((0.9, 0.9), 2),
        ((0.9, 0.5, 0.7), 3),
        ((0.5, "score > 0.9 and v.a > 1"), 2),
        (("v.a > 1", "v.b > 1 and v.a > 1"), 2),
        (("v.a > 1", "v.a >= 2"), 2),
        (("v.a >= 1", "v.a == 1"), 2),
        (("v.a != 1", "v.a > 1"), 2),
        (("v.a > 1 or v.b > 1", "v.b > 3"), 2),
        (("v.a > 1", "v.b > 0", "v.a > 2 or v.b == 4"), None),
        (("v.a > 1 or v.b > 0", "v.a > 2 or v.b == 4"), 2),
        (("not is_missing(v.a)", "v.a > 1"), 2),
        (("v.a in (1, 2, 3)", "v.a in (1, 3)"), 2),
        (("v.a + v.b > 3", "v.b > 1 and v.a + v.b > 4"), 2),
        (("score > 1",), 1),
        (("score < 0",), 1),
        (("v.a > 1 and v.a < 1",), 1),
        (("v.a > 1 and is_missing(v.a)",), 1),
        (("v.a + 1 > 1 and is_missing(v.a)",), 1),
        (("v.a == 1 and v.a == 2",), 1),
        (("is_missing(score)",), 1),
        (("v.a > 2 and v.a < 1 or v.b != 3 and v.b == 3",), 1),
    ],
)
def test_a_rule_that_never_fires_is_refused_by_its_number(rules, number):
    if number is None:
        check_policy(policy(*rules))
        return
    with pytest.raises(ConfigurationError, match=f"decision rule {number} can never fire"):
        check_policy(policy(*rules))


@pytest.mark.parametrize(
    "rules",
    [
        (0.9, 0.5),
        ("score > 0.9", "score >= 0.9"),
        ("score >= 0.9", "score > 0.89"),
        ("v.a > 2", "v.a > 1"),
        ("v.a > 1", "v.a >= 1"),
        ("v.a > 1 and v.b > 1", "v.a > 1"),
        ("v.a > 1", "not v.a > 1"),
        ("v.a > 1", "is_missing(v.a)"),
        ("v.a > 1", "v.b > 2"),
        ("v.a > v.b", "v.a > 1"),
        ("v.a >= 1 and v.a <= 1",),
        ("v.a == 'AT'", "v.a == 'BE'"),
    ],
)
def test_a_rule_that_may_fire_is_taken(rules):
    check_policy(policy(*rules))


def test_the_message_says_which_rule_stands_before():
    said = r"decision rule 2 .* found `score > 0.9`; where it holds, rule 1 held: `score > 0.5`"
    with pytest.raises(ConfigurationError, match=said):
        check_policy(policy(0.5, 0.9))


def test_more_rules_than_anybody_can_read_are_refused():
    with pytest.raises(ConfigurationError, match="too many decision rules; found 101"):
        check_policy(policy(*(f"v.a == {n}" for n in range(101))))
