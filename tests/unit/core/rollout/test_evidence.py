"""E-processes against slow direct computation, and their false alarms at the worst null."""

import math

import numpy as np
import pytest
from example_counts import examples
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gammaln
from scipy.stats import binom

from core.rollout.evidence import (
    log_e_above,
    log_e_outside,
    log_e_over_stages,
    log_gamma,
    log_likelihood,
    log_mean,
    log_mixture,
    share_of,
    stakes_of,
)

COUNT_PAIRS = st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
GRID = np.linspace(0.0, 1.0, 20_001)
ALPHA = 0.05
RUNS = examples(2_000)


def _a(value):
    return np.array(float(value))


def _most_allowed(alpha, runs):
    """False alarms that a true chance of ``alpha`` exceeds once in a million."""
    return int(binom.ppf(1 - 1e-6, runs, alpha))


def test_log_gamma_agrees_with_scipy():
    x = np.concatenate([np.linspace(0.5, 50, 500), np.logspace(2, 12, 200)])
    assert np.allclose(log_gamma(x), gammaln(x), rtol=1e-13, atol=1e-13)


@given(COUNT_PAIRS, st.randoms(use_true_random=False))
def test_mixture_is_the_product_of_one_step_predictions_in_any_order(counts, random):
    successes, n = counts
    outcomes = [1] * successes + [0] * (n - successes)
    random.shuffle(outcomes)
    product, ones = 0.0, 0
    for seen, outcome in enumerate(outcomes):
        chance = (ones + 0.5) / (seen + 1)
        product += math.log(chance if outcome else 1 - chance)
        ones += outcome
    assert math.isclose(float(log_mixture(_a(successes), _a(n))), product, abs_tol=1e-10)


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 10), (10, 10)])
def test_mixture_is_the_integral_over_the_prior(successes, n):
    def integrand(angle):  # p = sin(angle) ** 2 takes the prior's poles away
        p = math.sin(angle) ** 2
        return p**successes * (1 - p) ** (n - successes) * 2 / math.pi

    direct, _ = quad(integrand, 0, math.pi / 2)
    assert math.isclose(math.exp(float(log_mixture(_a(successes), _a(n)))), direct, rel_tol=1e-9)


@given(COUNT_PAIRS, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_outside_divides_by_the_greatest_likelihood_of_the_null(counts, one, other):
    lowest, highest = sorted((one, other))
    s, n = map(_a, counts)
    null = np.append(GRID[(lowest <= GRID) & (highest >= GRID)], [lowest, highest])
    direct = float(log_mixture(s, n) - log_likelihood(s, n, null).max())
    found = float(log_e_outside(s, n, lowest=lowest, highest=highest))
    assert found <= direct + 1e-9  # a finer search can only find a greater likelihood
    assert math.isclose(found, direct, abs_tol=1e-3)


@given(COUNT_PAIRS, COUNT_PAIRS, st.floats(1, 3), st.floats(0, 0.5))
def test_above_divides_by_the_greatest_likelihood_of_the_null(counts, reference, ratio, margin):
    s, n, r, n_r = map(_a, (*counts, *reference))
    found = float(log_e_above(s, n, r, n_r, ratio=ratio, margin=margin))
    # For each reference share the best share of the null is the observed one, if it is allowed.
    share = np.minimum(share_of(s, n), np.minimum(ratio * GRID + margin, 1.0))
    greatest = (log_likelihood(s, n, share) + log_likelihood(r, n_r, GRID)).max()
    direct = float(log_mixture(s, n) + log_mixture(r, n_r) - greatest)
    assert found <= direct + 1e-9
    assert math.isclose(found, direct, abs_tol=0.02)


@given(COUNT_PAIRS, COUNT_PAIRS)
def test_evidence_is_below_even_odds_while_the_limit_is_kept(counts, reference):
    s, n, r, n_r = map(_a, (*counts, *reference))
    if share_of(s, n) <= share_of(r, n_r):
        assert float(log_e_above(s, n, r, n_r)) <= 1e-9


def test_nothing_counted_is_no_evidence():
    zero = _a(0)
    assert float(log_e_outside(zero, zero, highest=0.01)) == pytest.approx(0, abs=1e-12)
    assert float(log_e_above(zero, zero, zero, zero)) == pytest.approx(0, abs=1e-12)
    assert float(log_e_above(_a(9), _a(9), zero, zero)) <= 0


def test_evidence_of_many_worlds_is_that_of_each():
    rng = np.random.default_rng(5)
    n, n_r = rng.integers(1, 900, 50).astype(float), rng.integers(1, 900, 50).astype(float)
    s, r = np.floor(n * rng.random(50)), np.floor(n_r * rng.random(50))
    together = log_e_above(s, n, r, n_r, ratio=1.2, margin=0.01)
    alone = [
        float(log_e_above(_a(a), _a(b), _a(c), _a(d), ratio=1.2, margin=0.01))
        for a, b, c, d in zip(s, n, r, n_r, strict=True)
    ]
    assert np.allclose(together, alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_outside_looked_at_after_every_request_is_seldom_wrong_at_the_limit(share):
    rng = np.random.default_rng(11)
    n = np.arange(1.0, 1_001.0)
    ones = (rng.random((RUNS, len(n))) < share).cumsum(axis=1).astype(float)
    above = (log_e_outside(ones, n, highest=share) >= -math.log(ALPHA)).any(axis=1)
    below = (log_e_outside(ones, n, lowest=share) >= -math.log(ALPHA)).any(axis=1)
    assert above.sum() <= _most_allowed(ALPHA, RUNS)
    assert below.sum() <= _most_allowed(ALPHA, RUNS)
    assert above.any() or below.any()  # the bound is not met by never speaking


@pytest.mark.parametrize(("ratio", "margin"), [(1.0, 0.0), (1.0, 0.1), (1.5, 0.01)])
def test_above_looked_at_after_every_request_is_seldom_wrong_at_the_limit(ratio, margin):
    rng = np.random.default_rng(12)
    runs, steps, reference = RUNS // 2, 600, 0.2
    is_ours = rng.random((runs, steps)) < 0.3
    chance = np.where(is_ours, ratio * reference + margin, reference)
    ones = rng.random((runs, steps)) < chance
    counts = [
        values.cumsum(axis=1).astype(float)
        for values in (ones & is_ours, is_ours, ones & ~is_ours, ~is_ours)
    ]
    evidence = log_e_above(*counts, ratio=ratio, margin=margin)
    wrong = (evidence >= -math.log(ALPHA)).any(axis=1).sum()
    assert wrong <= _most_allowed(ALPHA, runs)


def test_outside_holds_for_values_between_zero_and_one():
    rng = np.random.default_rng(13)
    n = np.arange(1.0, 501.0)
    sums = rng.beta(0.1, 0.9, (RUNS, len(n))).cumsum(axis=1)  # mean 0.1, nearly a coin
    wrong = (log_e_outside(sums, n, highest=0.1) >= -math.log(ALPHA)).any(axis=1).sum()
    assert wrong <= _most_allowed(ALPHA, RUNS)
    assert (log_e_outside(sums, n, highest=0.05)[:, -1] >= -math.log(ALPHA)).mean() > 0.5


def test_a_fixed_number_of_looks_would_be_wrong_with_a_fixed_sample_test():
    # Why all this: a z-test of 5 % looked at a thousand times is wrong far more often.
    rng = np.random.default_rng(14)
    n = np.arange(1.0, 1_001.0)
    ones = (rng.random((RUNS, len(n))) < 0.3).cumsum(axis=1)
    z = (ones / n - 0.3) / np.sqrt(0.21 / n)
    assert (z[:, 30:] > 1.645).any(axis=1).mean() > 4 * ALPHA


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=6), st.integers(6, 8))
def test_evidence_over_stages_is_the_sum_of_the_bets(log_e, n_stages):
    stakes = stakes_of(n_stages)
    direct = sum(stakes[len(log_e) :])
    for start in range(len(log_e)):
        direct += stakes[start] * math.exp(sum(log_e[start:]))
    found = float(log_e_over_stages([_a(value) for value in log_e], n_stages))
    assert math.isclose(found, math.log(direct), abs_tol=1e-9)


@pytest.mark.parametrize("n_stages", [1, 2, 6])
def test_the_whole_stake_is_laid(n_stages):
    assert len(stakes_of(n_stages)) == n_stages
    assert math.isclose(sum(stakes_of(n_stages)), 1.0)


def test_early_health_does_not_hide_later_trouble():
    healthy, trouble = _a(-50.0), _a(12.0)
    assert float(log_e_over_stages([healthy, healthy, trouble], 6)) > 9


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=9))
def test_log_mean_is_the_mean_of_e_values(log_e):
    direct = math.log(math.fsum(map(math.exp, log_e)) / len(log_e))
    assert math.isclose(float(log_mean(np.array(log_e))), direct, abs_tol=1e-9)
