from __future__ import annotations

import math
from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_oracle import MARGIN, holds

from core.decisions import DecisionPolicy, Rule, check_policy
from core.errors import ConfigurationError
from core.rules.reaching import implies, is_impossible
from core.rules.reading import condition_of


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
    with pytest.raises(ConfigurationError, match="too many decision rules; found 101 with 101"):
        check_policy(policy(*(f"v.a == {n}" for n in range(101))))
    wide = [" or ".join(f"v.a{n} > {k}" for k in range(50)) for n in range(11)]
    with pytest.raises(ConfigurationError, match="found 11 with 550 comparisons"):
        check_policy(policy(*wide))
    check_policy(policy(*wide[:10]))


CONSTANTS = (0.0, 0.25, 0.5, 1.0)
ATOMS = [
    f"{name} {relation} {constant}"
    for name, relations in (("v.a", ("<", "<=", ">", ">=", "==", "!=")),
                            ("score", ("<", "<=", ">", ">=")))
    for relation, constant in product(relations, CONSTANTS)
] + ["is_missing(v.a)", "not is_missing(v.a)"]  # fmt: skip
# At, beside and between all constants, so that a comparison which ever turns turns here.
NUMBERS = (None, -9.0, *CONSTANTS, 0.1, 0.4, 0.9, 9.0)
LINES = [c + d for c in CONSTANTS for d in (-MARGIN, MARGIN)]
SCORES = sorted(
    {s for line in LINES for s in (math.nextafter(line, -1), line, math.nextafter(line, 2))}
    | {0.1, 0.4, 0.9, *CONSTANTS}
)
ROWS = [{"v.a": a, "score": s} for a in NUMBERS for s in SCORES if 0 <= s <= 1]


@cache
def rows_of(text):
    return {n for n, row in enumerate(ROWS) if holds(text, row) is True}


@pytest.mark.parametrize("other", ATOMS)
def test_of_two_comparisons_it_is_known_whether_one_covers_the_other(other):
    covered = rows_of(other)
    for one in ATOMS:
        if is_impossible(condition_of(one)) or one.partition(" ")[0] != other.partition(" ")[0]:
            continue
        found = implies(condition_of(one), condition_of(other))
        assert found == (rows_of(one) <= covered), (one, other)


def test_of_a_comparison_it_is_known_whether_it_is_ever_true():
    for atom in ATOMS:
        assert is_impossible(condition_of(atom)) == (not rows_of(atom)), atom


def _connected(parts):
    two = st.tuples(parts, st.sampled_from(["and", "or"]), parts)
    return st.one_of(two.map(lambda t: f"({t[0]} {t[1]} {t[2]})"), parts.map("(not {})".format))


conditions = st.recursive(st.sampled_from(ATOMS), _connected, max_leaves=4)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(conditions, conditions)
def test_what_is_said_to_be_covered_or_impossible_is(one, other):
    if implies(condition_of(one), condition_of(other)):
        assert rows_of(one) <= rows_of(other)
    if is_impossible(condition_of(one)):
        assert not rows_of(one)
    assert implies(condition_of(one), condition_of(one))
    assert implies(condition_of(f"{one} and {other}"), condition_of(other))
    assert implies(condition_of(other), condition_of(f"{one} or {other}"))
