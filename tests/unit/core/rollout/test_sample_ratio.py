"""The sequential multinomial test of the assignment."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import binom

from core.rollout.counters import Counters, Period
from core.rollout.limits import Limits
from core.rollout.sample_ratio import exposure_log_e, exposure_observed, sample_ratio_log_e
from core.rollout.tallies import Arms

WEIGHTS = st.lists(st.integers(1, 9), min_size=2, max_size=4).map(
    lambda parts: [part / sum(parts) for part in parts]
)


@given(WEIGHTS, st.lists(st.integers(0, 3), max_size=40))
def test_evidence_is_the_product_of_one_step_predictions(weights, units):
    arms = [unit % len(weights) for unit in units]
    counts, product = [0] * len(weights), 0.0
    for seen, arm in enumerate(arms):
        predicted = (counts[arm] + 0.5) / (seen + 0.5 * len(weights))
        product += math.log(predicted / weights[arm])
        counts[arm] += 1
    found = float(sample_ratio_log_e(np.array(counts, dtype=float), weights))
    assert math.isclose(found, product, abs_tol=1e-9)


def test_evidence_is_the_dirichlet_multinomial_over_the_multinomial():
    counts, weights = np.array([90.0, 5.0, 15.0]), np.array([0.7, 0.1, 0.2])
    mixture = gammaln(1.5) - gammaln(counts.sum() + 1.5)
    mixture += (gammaln(counts + 0.5) - gammaln(0.5)).sum()
    direct = mixture - (counts * np.log(weights)).sum()
    assert math.isclose(float(sample_ratio_log_e(counts, weights)), direct, rel_tol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_a_right_assignment_looked_at_after_every_entity_is_seldom_doubted(weight):
    rng, runs, alpha = np.random.default_rng(21), 2_000, 0.05
    ours = (rng.random((runs, 1_500)) < weight).cumsum(axis=1).astype(float)
    counts = np.stack([ours, np.arange(1.0, 1_501.0) - ours], axis=-1)
    evidence = sample_ratio_log_e(counts, (weight, 1 - weight))
    wrong = (evidence >= -math.log(alpha)).any(axis=1).sum()
    assert 0 < wrong <= binom.ppf(1 - 1e-6, runs, alpha)


def test_an_arm_that_loses_a_fifth_of_its_entities_is_found():
    rng, runs = np.random.default_rng(22), 500
    kept = rng.binomial(20_000, 0.04 / 0.99, size=runs).astype(float)
    counts = np.stack([kept, 20_000 - kept], axis=-1)
    found = sample_ratio_log_e(counts, (0.05, 0.95)) >= math.log(1_000)
    assert found.mean() >= 0.95


def test_at_full_weight_there_is_nothing_to_divide():
    period = Period(stage=0, weight=1.0, challenger=Counters(n_entities=1_000))
    assert float(exposure_log_e(Arms.of(period), Limits())) == 0.0
    assert exposure_observed(Arms.of(period), Limits()).is_empty
    nobody = exposure_observed(Arms.of(Period(stage=0, weight=0.5)), Limits())
    assert (nobody.is_empty, nobody.sentence) == (True, "no new entity in this stage to compare")


def test_exposure_says_share_and_setting():
    period = Period(
        stage=0,
        weight=0.05,
        champion=Counters(n_entities=900),
        challenger=Counters(n_entities=100),
    )
    seen = exposure_observed(Arms.of(period), Limits())
    assert seen.sentence == "10.00% of 1000 new entities met the challenger, 5.00% were to"
    assert float(exposure_log_e(Arms.of(period), Limits())) > math.log(1_000)
