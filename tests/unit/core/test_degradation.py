from __future__ import annotations

import pytest
from bundles import TOY_PLAN
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.decisions import DecisionPolicy, Rule
from core.degradation import (
    Degradation,
    Freshness,
    Limits,
    check_degradation,
    fallback_for,
    missing_views,
    unscored_decider,
)
from core.errors import ConfigurationError

UNSCORED = DecisionPolicy(
    rules=(Rule(decision="REVIEW", when="request.amount_minor >= 500", reason="large"),),
    default="APPROVE",
    default_reason="small",
)
VIEWS = ("card_activity_v1", "terminal_risk_v1", "card_state_v1")


def declared(*limits, fallbacks=(), unscored=UNSCORED):
    freshness = tuple(Freshness(view=v, fresh_s=f, usable_s=u) for v, f, u in limits)
    return Degradation(unscored=unscored, freshness=freshness, fallbacks=fallbacks)


@pytest.mark.parametrize(
    ("age_ms", "missing", "said"),
    [
        (0, None, ""),
        (60_000, None, ""),
        (60_001, set(), "60 s is fresh"),
        (900_000, set(), "up to 900 s ago, 60 s is fresh"),
        (900_001, {"card_activity_v1"}, "900 s is usable"),
        (None, {"card_activity_v1"}, "is not known"),
    ],
)
def test_a_view_is_fresh_then_stale_then_missing(age_ms, missing, said):
    lapse = Limits(declared(("card_activity_v1", 60, 900))).lapse({"card_activity_v1": age_ms})
    if missing is None:
        assert lapse is None
    else:
        assert lapse is not None
        assert lapse.missing == missing
        assert said in lapse.because


AGES = st.one_of(st.none(), st.integers(0, 2_000_000))


@given(st.tuples(AGES, AGES), st.tuples(*[st.integers(1, 1_000)] * 4))
def test_a_lapse_is_the_sum_of_what_each_view_says(ages, limits):
    low = min(limits[0], limits[1]), min(limits[2], limits[3])
    high = max(limits[0], limits[1]), max(limits[2], limits[3])
    both = declared((VIEWS[0], low[0], high[0]), (VIEWS[1], low[1], high[1]))
    found = Limits(both).lapse(dict(zip(VIEWS, ages, strict=False)))
    alone = [
        Limits(declared((v, f, u))).lapse({v: age})
        for v, f, u, age in zip(VIEWS, low, high, ages, strict=False)
    ]
    lapses = [each for each in alone if each is not None]
    assert (found is None) == (not lapses)
    if found is not None:
        assert found.missing == frozenset().union(*[each.missing for each in lapses])
        assert found.because


def test_the_fullest_fallback_that_does_without_all_that_is_missing_is_asked():
    fallbacks = [("a",), ("b",), ("a", "b", "c")]
    assert fallback_for(fallbacks, {"a"}) == 0
    assert fallback_for(fallbacks, {"b"}) == 1
    assert fallback_for(fallbacks, {"a", "b"}) == 2
    assert fallback_for(fallbacks, {"d"}) is None
    assert fallback_for(fallbacks, set()) == 0  # nothing is missing, the model itself failed


def test_missing_views_are_read_off_a_record():
    statuses = {"a": "PRESENT", "b": "expired", "c": "unavailable", "d": "stale", "e": "missing"}
    assert missing_views(statuses) == {"b", "c"}


@pytest.mark.parametrize(
    ("fallbacks", "why"),
    [
        (((),), "at least one view"),
        ((("a", "b"), ("a",)), "fallback 2 is never asked"),
        ((("a",), ("a",)), "fallback 2 is never asked"),
    ],
)
def test_a_fallback_that_is_never_asked_is_refused(fallbacks, why):
    with pytest.raises(ValidationError, match=why):
        declared(fallbacks=fallbacks)


def test_limits_that_contradict_each_other_are_refused():
    with pytest.raises(ValidationError, match="fresh_s must not be more"):
        Freshness(view="a", fresh_s=10, usable_s=9)
    with pytest.raises(ValidationError, match="twice"):
        declared(("a", 1, 2), ("a", 1, 3))


@pytest.mark.parametrize(
    ("degradation", "why"),
    [
        (declared(("nothing_v1", 1, 2)), "freshness limit names a view"),
        (declared(fallbacks=(("nothing_v1",),)), "fallback names a view"),
        (
            declared(
                unscored=DecisionPolicy(
                    rules=(Rule(decision="BLOCK", above=0.9, reason="x"),),
                    default="a",
                    default_reason="b",
                )
            ),
            "reads the score",
        ),
        (
            declared(
                unscored=DecisionPolicy(
                    rules=(Rule(decision="BLOCK", when="request.amount > 1", reason="x"),),
                    default="a",
                    default_reason="b",
                )
            ),
            "do not have",
        ),
    ],
)
def test_what_the_plan_does_not_have_is_refused(degradation, why):
    with pytest.raises(ConfigurationError, match=why):
        check_degradation(degradation, TOY_PLAN)


def test_rules_without_a_score_decide_by_what_is_there():
    import numpy as np

    decider = unscored_decider(declared(), TOY_PLAN)
    amounts = {"request:amount_minor": np.array([499.0, 500.0, np.nan])}
    decided = decider.decide_unscored(amounts, 3)
    assert [(each.decision, each.rule) for each in decided] == [
        ("APPROVE", None),
        ("REVIEW", 0),
        ("APPROVE", None),
    ]


def test_a_declared_ladder_comes_back_from_json_as_it_was():
    whole = declared(("card_activity_v1", 60, 900), fallbacks=(("terminal_risk_v1",), VIEWS))
    assert Degradation.model_validate_json(whole.model_dump_json()) == whole


def test_windows_and_attributes_may_have_limits():
    check_degradation(declared(*((view, 1, 2) for view in VIEWS)), TOY_PLAN)
