from __future__ import annotations

import numpy as np
import pytest

from core.stats.metrics import ECE_BINS, calibration_error, ranked
from core.stats.reliability import reliability
from core.stats.slices import MIN_POSITIVE, MIN_ROWS, measured_slices


def scored(rng, n, *, tilt=0.0):
    scores = rng.beta(1, 4, n)
    odds = scores / (1 - scores) * np.exp(tilt)
    return scores, (rng.random(n) < odds / (1 + odds)).astype(int)


def test_its_error_is_the_calibration_error():
    rng = np.random.default_rng(0)
    scores, labels = scored(rng, 5_000, tilt=0.7)
    rows = ranked(scores, labels, rng.random(5_000))
    assert reliability(rows).error == pytest.approx(calibration_error(rows))


def test_bins_are_even_and_go_from_high_to_low():
    diagram = reliability(ranked(*scored(np.random.default_rng(1), 1_501)))
    assert len(diagram.score) == ECE_BINS
    assert np.ptp(diagram.weight) <= 1
    assert (np.diff(diagram.score) < 0).all()


def test_a_calibrated_model_is_off_in_one_bin_of_twenty():
    rng = np.random.default_rng(2)
    off = [reliability(ranked(*scored(rng, 3_000))).is_off.mean() for _ in range(100)]
    assert 0.03 < np.mean(off) < 0.07


def test_scores_that_promise_too_little_are_off_nearly_everywhere():
    diagram = reliability(ranked(*scored(np.random.default_rng(3), 20_000, tilt=1.0)))
    assert diagram.is_off.sum() >= 12
    assert (diagram.share[diagram.is_off] > diagram.score[diagram.is_off]).all()


def test_fewer_rows_than_bins_have_a_bin_each():
    diagram = reliability(ranked(np.array([0.2, 0.9, 0.5]), np.array([0, 1, 1])))
    assert diagram.score.tolist() == [0.9, 0.5, 0.2]
    assert diagram.share.tolist() == [1.0, 1.0, 0.0]


def test_parts_that_are_too_small_are_left_out():
    labels = np.zeros(300, dtype=int)
    labels[:MIN_POSITIVE] = 1
    scores, rows = np.linspace(1, 0, 300), np.arange(300)
    masks = [
        ("enough", rows < MIN_ROWS),
        ("too short", rows < MIN_ROWS - 1),
        ("one class", rows >= MIN_POSITIVE),
        ("a positive short", rows >= 1),
    ]
    found = measured_slices(masks, labels, scores, np.ones(300))
    assert [(part.name, part.n_rows, part.n_positive, part.auc) for part in found] == [
        ("enough", MIN_ROWS, MIN_POSITIVE, 1.0)
    ]
