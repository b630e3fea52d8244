"""Objectives: counts add up, the 99th percentile is that of the requests, a budget runs out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.monitoring.objectives import Measured, Objectives, standings
from core.rollout.counters import LATENCY_STEP, latency_bin


def measured_of(times_ms, limit_ms=100.0, n_failed=0):
    bins = [latency_bin(each) for each in times_ms]
    return Measured(
        n_asked=len(bins) + n_failed,
        n_failed=n_failed,
        n_timed=len(bins),
        n_late=sum(each > limit_ms for each in times_ms),
        latencies={place: bins.count(place) for place in bins},
    )


TIMES = st.lists(st.floats(0.1, 50_000), max_size=30)


@given(one=TIMES, other=TIMES, failed=st.integers(0, 5))
def test_counts_of_two_processes_are_those_of_one_that_saw_all(one, other, failed):
    whole = measured_of(one + other, n_failed=failed)
    assert measured_of(one, n_failed=failed).merged(measured_of(other)) == whole
    assert whole.since(measured_of(other)) == measured_of(one, n_failed=failed)
    assert whole.since(whole) == Measured()


def test_p99_is_that_of_the_requests_within_the_width_of_a_bin():
    times = np.random.default_rng(1).lognormal(3.0, 0.8, 5_000)
    exact = float(np.quantile(times, 0.99, method="inverted_cdf"))
    found = measured_of(times.tolist()).p99_ms
    assert found is not None
    assert exact <= found <= exact * LATENCY_STEP


def test_of_a_hundred_one_may_take_longer_and_two_may_not():
    assert measured_of([10.0] * 99 + [900.0]).p99_ms == pytest.approx(10.0, rel=0.05)
    late = measured_of([10.0] * 98 + [900.0] * 2).p99_ms
    assert late == pytest.approx(900.0, rel=0.05)


def test_a_budget_is_whole_then_spent_then_broken():
    objectives = Objectives(availability_share=0.999)
    for n_failed, left in ((0, 1.0), (5, 0.5), (10, 0.0), (20, -1.0)):
        _, availability = standings(objectives, Measured(n_asked=10_000, n_failed=n_failed))
        assert availability.left_share == pytest.approx(left)
        assert availability.kept_share == 1 - n_failed / 10_000
    p99, _ = standings(objectives, Measured(n_asked=50, n_timed=50, n_late=1))
    assert p99.left_share == pytest.approx(-1.0)


def test_nothing_asked_spends_nothing_and_measures_nothing():
    for each in standings(Objectives(), Measured()):
        assert (each.left_share, each.kept_share) == (1.0, None)
    assert Measured().p99_ms is None


@pytest.mark.parametrize("declared", [{"availability_share": 1.0}, {"p99_ms": 0}, {"p99_ms": 1e6}])
def test_a_promise_that_nothing_can_keep_or_measure_is_refused(declared):
    with pytest.raises(ValidationError):
        Objectives(**declared)
