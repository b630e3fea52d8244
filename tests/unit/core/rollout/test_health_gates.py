"""Errors, latency, soundness: what breaks the gates, what does not, and a slow loop's evidence."""

import math

import numpy as np
import pytest
from rollout_arms import (
    BY_NAME,
    LIMITS,
    latencies,
    number,
    scored,
    states_of,
    verdict_of,
)
from scipy.stats import binom

from core.rollout.counters import (
    LATENCY_BINS,
    LATENCY_EDGES_MS,
    Counters,
    Period,
    latency_bin,
)
from core.rollout.evidence import log_e_outside
from core.rollout.health_gates import p99_ms
from core.rollout.tallies import Arms, Tally


@pytest.mark.parametrize(
    ("errors", "n", "state"), [(1, 1_000, "passed"), (13, 1_000, "doubtful"), (50, 1_000, "broken")]
)
def test_errors_are_passed_doubted_and_broken(errors, n, state):
    verdict = verdict_of("errors", Counters(n_requests=n, n_errors=errors))
    assert verdict.state == state
    assert (verdict.log_evidence >= verdict.log_limit) == (state == "broken")
    assert f"{errors / n:.2%} of {n} challenger requests failed" in verdict.because


def test_errors_within_the_absolute_limit_are_broken_against_a_sounder_champion():
    challenger = Counters(n_requests=20_000, n_errors=160)
    champion = Counters(n_requests=20_000, n_errors=20)
    states = states_of(challenger, champion)
    assert (states["errors"], states["errors_against_champion"]) == ("passed", "broken")
    assert states_of(challenger, challenger)["errors_against_champion"] == "passed"


def test_latency_at_the_limit_passes_and_above_it_breaks():
    at_limit = Counters(latencies=latencies((100.0, 1_000)))
    above = Counters(latencies=latencies((50.0, 900), (100.1, 100)))
    assert verdict_of("latency", at_limit).state == "passed"
    assert verdict_of("latency", above).state == "broken"


def test_latency_against_champion_needs_more_than_the_ratio():
    champion = Counters(latencies=latencies((20.0, 5_000)))
    edge = LATENCY_EDGES_MS[latency_bin(20.0)]
    within = Counters(latencies=latencies((1.2 * edge * 0.999, 5_000)))
    beyond = Counters(latencies=latencies((1.2 * edge * 1.25, 5_000)))
    assert states_of(within, champion)["latency_against_champion"] == "passed"
    assert states_of(beyond, champion)["latency_against_champion"] == "broken"


def test_latency_against_champion_by_a_loop_over_limits():
    rng = np.random.default_rng(31)
    ours = np.array([latency_bin(ms) for ms in rng.lognormal(3.2, 0.5, 700)])
    theirs = np.array([latency_bin(ms) for ms in rng.lognormal(2.0, 0.5, 3_000)])
    values = []
    for x in range(4, len(LATENCY_EDGES_MS)):
        slower = log_e_outside(number((ours > x).sum()), number(len(ours)), highest=0.01)
        faster = log_e_outside(number((theirs > x - 4).sum()), number(len(theirs)), lowest=0.01)
        values.append(math.exp(min(float(slower), float(faster))))
    arms = Arms.of(
        Period(
            stage=0,
            weight=0.2,
            challenger=Counters(latencies=tuple(np.bincount(ours, minlength=LATENCY_BINS))),
            champion=Counters(latencies=tuple(np.bincount(theirs, minlength=LATENCY_BINS))),
        )
    )
    found = float(BY_NAME["latency_against_champion"].log_evidence(arms, LIMITS))
    assert found > math.log(1_000)
    assert math.isclose(found, math.log(sum(values) / len(values)), rel_tol=1e-9)


def test_p99_is_the_least_edge_that_one_in_a_hundred_exceeds():
    tally = Tally.of(Counters(latencies=latencies((10.0, 99), (500.0, 1))), ())
    assert p99_ms(tally) == LATENCY_EDGES_MS[latency_bin(10.0)]
    tally = Tally.of(Counters(latencies=latencies((10.0, 98), (500.0, 2))), ())
    assert p99_ms(tally) == LATENCY_EDGES_MS[latency_bin(500.0)]
    assert p99_ms(Tally.of(Counters(), ())) == 0.0


def test_a_few_scores_that_are_no_numbers_break_soundness():
    verdict = verdict_of("soundness", scored((0.1, 40), (0.2, 1), n_nonfinite=8))
    assert verdict.state == "broken"
    assert verdict.because == "8 of 49 challenger scores are not finite; proven"


def test_one_and_the_same_score_breaks_soundness_and_two_scores_do_not():
    assert verdict_of("soundness", scored((0.3, 200))).state == "broken"
    assert verdict_of("soundness", scored((0.3, 20))).state == "doubtful"
    assert verdict_of("soundness", scored((0.3, 199), (0.31, 1))).state == "passed"


def test_a_common_score_is_seldom_taken_for_a_constant():
    # One score has the greatest share that is allowed; the first other one ends the bet.
    runs, most, alpha = 20_000, LIMITS.repeated_share, 0.05
    equal = np.random.default_rng(32).geometric(1 - most, size=runs)
    needed = 1 + math.log(2 / alpha) / -math.log(most)
    assert 0 < (equal >= needed).sum() <= binom.ppf(1 - 1e-6, runs, alpha)
