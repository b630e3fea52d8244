"""Counters: exact merges, bins, and what they refuse."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.rollout.counters import (
    LATENCY_BINS,
    LATENCY_EDGES_MS,
    SCORE_BINS,
    SCORE_EDGES,
    Counters,
    Period,
    latency_bin,
    score_bin,
)

COUNTS = st.integers(0, 2**40)


def _bins(length):
    one = st.tuples(st.integers(0, length - 1), COUNTS)
    return st.lists(one, max_size=4).map(
        lambda pairs: tuple(dict(pairs).get(index, 0) for index in range(length))
    )


@st.composite
def counters(draw):
    scores = draw(_bins(SCORE_BINS))
    lowest, highest = sorted(draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))
    errors, answers = draw(COUNTS), draw(COUNTS)
    labelled = draw(_bins(SCORE_BINS))
    return Counters(
        n_requests=errors + answers,
        n_errors=errors,
        n_degraded=draw(COUNTS),
        n_entities=draw(COUNTS),
        latencies=draw(_bins(LATENCY_BINS)),
        n_nonfinite=draw(COUNTS),
        scores=scores,
        lowest_score=lowest if sum(scores) else None,
        highest_score=highest if sum(scores) else None,
        decisions=draw(st.dictionaries(st.sampled_from("ABC"), COUNTS)),
        labelled=labelled,
        positives=tuple(draw(st.integers(0, n)) if n else 0 for n in labelled),
    )


@given(counters(), counters())
def test_merging_is_commutative(one, other):
    assert one.merged(other) == other.merged(one)


@given(counters(), counters(), counters())
def test_merging_is_associative(one, two, three):
    assert one.merged(two).merged(three) == one.merged(two.merged(three))


@given(counters())
def test_empty_counters_change_nothing(one):
    assert one.merged(Counters()) == one


@given(counters())
def test_counters_survive_json(one):
    assert Counters.model_validate_json(one.model_dump_json()) == one


def test_every_field_is_merged():
    # A new field fails here until `merged` knows it.
    bins = {"latencies": LATENCY_BINS, "scores": SCORE_BINS}
    one = Counters(
        n_requests=3,
        n_errors=1,
        n_degraded=1,
        n_entities=2,
        latencies=(3,) * bins["latencies"],
        n_nonfinite=4,
        scores=(5,) * bins["scores"],
        lowest_score=0.25,
        highest_score=0.75,
        decisions={"A": 7},
        labelled=(2,) * bins["scores"],
        positives=(1,) * bins["scores"],
    )
    other = one.model_copy(update={"lowest_score": 0.125, "highest_score": 0.875})
    merged = one.merged(other)
    assert one.model_fields_set == set(Counters.model_fields)
    unchanged = {n for n in Counters.model_fields if getattr(merged, n) == getattr(one, n)}
    assert unchanged == set()
    assert (merged.lowest_score, merged.highest_score) == (0.125, 0.875)
    assert merged.latencies[0] == 6
    assert merged.decisions == {"A": 14}


@given(st.floats(0, 1e6))
def test_a_latency_lies_between_the_edges_of_its_bin(latency_ms):
    index = latency_bin(latency_ms)
    assert index == LATENCY_BINS - 1 or latency_ms <= LATENCY_EDGES_MS[index]
    assert index == 0 or latency_ms > LATENCY_EDGES_MS[index - 1]


@given(st.floats(-1, 2))
def test_a_score_lies_between_the_edges_of_its_bin(score):
    index = score_bin(score)
    assert index == SCORE_BINS - 1 or score < SCORE_EDGES[index]
    assert index == 0 or score >= SCORE_EDGES[index - 1]


def test_the_promised_latency_is_an_edge_and_four_bins_are_a_factor_of_1_2():
    at = latency_bin(100.0)
    assert LATENCY_EDGES_MS[at] == 100.0
    assert math.isclose(LATENCY_EDGES_MS[at + 4], 120.0)
    assert 0.06 < LATENCY_EDGES_MS[0] < 0.07
    assert 58_000 < LATENCY_EDGES_MS[-1] < 60_000


@pytest.mark.parametrize(
    "fields",
    [
        {"n_requests": 1, "n_errors": 2},
        {"n_requests": -1},
        {"latencies": (1,)},
        {"scores": (1,) * (SCORE_BINS - 1)},
        {"scores": (1,) * SCORE_BINS},
        {"lowest_score": 0.1, "highest_score": 0.2},
        {"scores": (1,) * SCORE_BINS, "lowest_score": 0.1},
        {"scores": (1,) * SCORE_BINS, "lowest_score": 0.1, "highest_score": math.nan},
        {"positives": (1,) * SCORE_BINS},
        {"n_guesses": 1},
    ],
)
def test_counters_refuse_what_does_not_add_up(fields):
    with pytest.raises(ValidationError):
        Counters(**fields)


@pytest.mark.parametrize("weight", [0.0, 1.1, math.nan])
def test_a_period_needs_a_share_of_traffic(weight):
    with pytest.raises(ValidationError):
        Period(stage=0, weight=weight)
