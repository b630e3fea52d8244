"""Labels: what breaks the gates, what does not, and their evidence by a slow loop."""

import math

import numpy as np
import pytest
from rollout_arms import (
    binned,
    scored,
    states_of,
    verdict_of,
    with_labels,
)
from scipy.stats import binom

from core.rollout.counters import (
    SCORE_BINS,
    Counters,
    score_bin,
)
from core.rollout.label_gates import TILTS, log_e_tilted


def test_calibration_breaks_on_rates_that_the_scores_do_not_say():
    champion = with_labels(0.1, n=40_000)
    assert states_of(with_labels(0.1), champion)["calibration"] == "passed"
    assert states_of(with_labels(0.3), champion)["calibration"] == "broken"
    assert states_of(with_labels(0.02), champion)["calibration"] == "broken"


def test_calibration_forgives_what_the_champion_does_too_and_welcomes_its_mending():
    drifted = with_labels(0.3, n=40_000)
    assert states_of(drifted, drifted)["calibration"] == "passed"
    assert states_of(with_labels(0.1), drifted)["calibration"] == "passed"


def test_without_labels_calibration_says_that_only_a_shift_can_show():
    verdict = verdict_of("calibration", scored((0.1, 1_000)))
    assert verdict.state == "nothing_to_compare"
    assert "can only show as a shift of the scores" in verdict.because
    assert verdict.because.endswith("too few to compare yet")


@pytest.mark.parametrize("sign", [1, -1])
def test_tilted_evidence_by_a_loop_over_labels(sign):
    bounds = np.array([-2.0, 0.5])
    counts = [(3, 10), (4, 5)]
    ratios = []
    for tilt in TILTS:
        product = 1.0
        for bound, (positives, labelled) in zip(bounds, counts, strict=True):
            p = 1 / (1 + math.exp(-bound))
            q = 1 / (1 + math.exp(-(bound + sign * tilt)))
            for label in [1] * positives + [0] * (labelled - positives):
                product *= q / p if label else (1 - q) / (1 - p)
        ratios.append(product)
    positives, labelled = np.array(counts, dtype=float).T
    found = float(log_e_tilted(positives, labelled, bounds, sign=sign))
    assert math.isclose(found, math.log(sum(ratios) / len(ratios)), abs_tol=1e-12)


def test_tilted_evidence_looked_at_after_every_label_is_seldom_wrong_at_the_bound():
    rng, runs, steps, alpha = np.random.default_rng(34), 1_000, 400, 0.05
    bounds = np.array([-2.0, 0.5])
    bins = rng.integers(0, 2, (runs, steps))
    labels = rng.random((runs, steps)) < 1 / (1 + np.exp(-bounds[bins]))
    in_bin = np.stack([bins == 0, bins == 1], axis=-1)
    positives = (in_bin & labels[..., np.newaxis]).cumsum(axis=1).astype(float)
    evidence = log_e_tilted(positives, in_bin.cumsum(axis=1).astype(float), bounds, sign=1)
    wrong = (evidence >= -math.log(alpha)).any(axis=1).sum()
    assert 0 < wrong <= binom.ppf(1 - 1e-6, runs, alpha)


def test_outcome_breaks_on_scores_that_say_less():
    low, high = f"_{score_bin(0.05)}", f"_{score_bin(0.95)}"
    sharp = Counters(
        labelled=binned(SCORE_BINS, **{low: 5_000, high: 5_000}),
        positives=binned(SCORE_BINS, **{low: 250, high: 4_750}),
    )
    middle = f"_{score_bin(0.5)}"
    blunt = Counters(
        labelled=binned(SCORE_BINS, **{middle: 10_000}),
        positives=binned(SCORE_BINS, **{middle: 5_000}),
    )
    assert states_of(blunt, sharp)["outcome"] == "broken"
    assert states_of(sharp, blunt)["outcome"] == "passed"
    assert states_of(blunt, sharp)["calibration"] == "passed"
