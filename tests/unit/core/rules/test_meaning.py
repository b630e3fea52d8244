"""One row, arrays and the oracle answer alike, whatever the rule and whatever is missing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rule_oracle import CATEGORIES, MARGIN, holds

from core.decisions import ROWS_ONE_BY_ONE, Decider, DecisionPolicy, Rule
from core.rules.binding import Known

KNOWN: Known = {"score": (), "request:x": (), "v:a": (), "v:b": (), "v:country": CATEGORIES}
SPELLED = {"request:x": "request.x", "v:a": "v.a", "v:b": "v.b", "v:country": "v.country"}

CONSTANTS = ("0", "1", "-1", "0.5", "0.9", "0.25 * 2", "3 - 2.1", "1e300", "9007199254740992")
constants = st.sampled_from(CONSTANTS)
names = st.sampled_from(["v.a", "v.b", "request.x"])


def _joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["+", "-", "*", "/"])
    two = st.tuples(parts, signs, st.one_of(parts, constants, st.just("score")))
    return st.one_of(two.map(lambda t: f"({t[0]} {t[1]} ({t[2]}))"), parts.map(lambda p: f"-{p}"))


quantities = st.recursive(names, _joined, max_leaves=4)
ordered = st.sampled_from(["<", "<=", ">", ">="])
relations = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
texts = st.sampled_from([f'"{c}"' for c in CATEGORIES])
comparisons = st.one_of(
    st.tuples(st.just("score"), ordered, st.one_of(constants, quantities)),
    st.tuples(constants, ordered, st.just("score")),
    st.tuples(quantities, relations, st.one_of(constants, quantities)),
    st.tuples(constants, relations, quantities),
    st.tuples(st.just("v.country"), st.sampled_from(["==", "!="]), texts),
    st.tuples(
        st.just("v.country"), st.sampled_from(["in", "not in"]), texts.map(lambda t: f"({t}, 'BE')")
    ),
    st.tuples(names, st.sampled_from(["in", "not in"]), constants.map(lambda c: f"({c}, 7)")),
    st.tuples(constants, ordered, st.just("score"), ordered, constants),
    st.tuples(constants, ordered, names, relations, quantities),
).map(" ".join)
questions = st.one_of(quantities, st.just("v.country")).map(lambda q: f"is_missing({q})")


def _connected(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(parts, st.sampled_from(["and", "or"]), parts)
    return st.one_of(
        two.map(lambda t: f"({t[0]} {t[1]} {t[2]})"), parts.map(lambda p: f"(not {p})")
    )


conditions = st.recursive(st.one_of(comparisons, questions), _connected, max_leaves=5)
LINES = [c + d for c in (0.0, 0.5, 0.9, 1.0) for d in (-MARGIN, 0.0, MARGIN)]
scores = st.one_of(
    st.floats(0, 1),
    st.sampled_from(LINES),
    st.sampled_from(LINES).map(lambda line: math.nextafter(line, 2)),
    st.sampled_from(LINES).map(lambda line: math.nextafter(line, -1)),
    st.floats(0, 1, width=32),
)
numbers = st.one_of(
    st.none(),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 0.5, 1, 1e308, -1e308, 5e-324]),
    st.integers(-(10**300), 10**300),
    st.floats(),
)
rows = st.fixed_dictionaries(
    {
        "score": scores,
        "request.x": numbers,
        "v.a": numbers,
        "v.b": numbers,
        "v.country": st.sampled_from([None, math.nan, 0.0, 1.0, 2.0]),
    }
)


def decider_of(*conditions):
    rules = tuple(Rule(decision=f"D{n}", when=c, reason="r") for n, c in enumerate(conditions))
    return Decider(DecisionPolicy(rules=rules, default="A", default_reason="r"), KNOWN)


def arrays_of(rows):
    return {
        name: np.array([row[said] for row in rows], dtype=np.float64)
        for name, said in SPELLED.items()
    }


def wanted(conditions, row):
    found = [n for n, condition in enumerate(conditions) if holds(condition, row) is True]
    return found[0] if found else None


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(
    st.lists(conditions, min_size=1, max_size=3),
    st.lists(rows, min_size=1, max_size=ROWS_ONE_BY_ONE),
)
@example(["not v.a > 1"], [{**dict.fromkeys(SPELLED.values()), "score": 0.1}])
@example(["v.a / v.b > 0 or is_missing(v.a / v.b)"],
         [{"score": 0.5, "request.x": 1, "v.a": 1.0, "v.b": 0.0, "v.country": None}])  # fmt: skip
def test_one_row_arrays_and_the_oracle_agree(conditions, rows):
    decider = decider_of(*conditions)
    held_scores = np.array([row["score"] for row in rows])
    arrays = arrays_of(rows)
    expected = [wanted(conditions, row) for row in rows]
    assert [d.rule for d in decider.decide(held_scores, arrays)] == expected
    fired = decider.fired(held_scores, arrays).tolist()
    assert [decider.outcomes[place].rule for place in fired] == expected


@given(st.lists(rows, min_size=ROWS_ONE_BY_ONE + 1, max_size=40))
def test_many_rows_are_decided_as_each_alone(rows):
    decider = decider_of("score > 0.5 and v.a <= 1", "v.country != 'AT' or is_missing(request.x)")
    held_scores, arrays = np.array([row["score"] for row in rows]), arrays_of(rows)
    alone = [
        decider.decide(held_scores[n : n + 1], {k: a[n : n + 1] for k, a in arrays.items()})[0]
        for n in range(len(rows))
    ]
    assert decider.decide(held_scores, arrays) == alone


@pytest.mark.parametrize(
    ("condition", "is_true"),
    [
        ("v.a > 1", False),
        ("not v.a > 1", False),
        ("v.a != 1", False),
        ("v.a not in (1, 2)", False),
        ("v.a == v.a", False),
        ("v.a > 1 or v.b > 1", True),
        ("not (v.a > 1 and v.b > 5)", True),
        ("v.a > 1 and v.b > 1", False),
        ("is_missing(v.a)", True),
        ("not is_missing(v.a)", False),
        ("is_missing(v.a + v.b)", True),
        ("is_missing(v.b / 0)", True),
        ("is_missing(v.b * 1e308 * 1e308)", True),
        ("v.country == 'AT'", False),
    ],
)
@pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf])
def test_what_is_missing_makes_a_comparison_unknown(condition, is_true, missing):
    values = {"v:a": np.array([missing]), "v:b": np.array([2.0]), "v:country": np.array([missing])}
    values["request:x"] = np.array([0.0])
    decider = decider_of(condition)
    assert (decider.decide(np.array([0.1]), values)[0].rule == 0) == is_true
    assert (decider.fired(np.array([0.1]), values)[0] == 0) == is_true
