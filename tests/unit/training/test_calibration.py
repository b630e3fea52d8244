import numpy as np
import pytest

from training.calibration import SMALLEST_SLOPE, Calibration, fit_platt, sigmoid


def drawn(slope, intercept, n=40_000, seed=1):
    generator = np.random.default_rng(seed)
    margins = generator.normal(-2, 2, n)
    labels = (generator.random(n) < sigmoid(slope * margins + intercept)).astype(np.int64)
    return margins, labels


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, -1.0), (2.0, 1.5)])
def test_platt_finds_the_line_that_made_the_labels(slope, intercept):
    margins, labels = drawn(slope, intercept)
    found = fit_platt(margins, labels, np.ones(len(labels)))
    assert found.slope == pytest.approx(slope, rel=0.1)
    assert found.intercept == pytest.approx(intercept, abs=0.1)


def test_a_weight_of_two_is_a_row_twice():
    margins, labels = drawn(1.0, -1.0, n=500)
    weights = np.random.default_rng(2).integers(1, 3, 500)
    once = fit_platt(margins, labels, weights.astype(float))
    twice = fit_platt(
        np.repeat(margins, weights), np.repeat(labels, weights), np.ones(weights.sum())
    )
    assert once.slope == pytest.approx(twice.slope)
    assert once.intercept == pytest.approx(twice.intercept)


def test_order_never_changes_even_for_a_model_that_is_worse_than_chance():
    margins, labels = drawn(-1.0, 0.0, n=1_000)
    found = fit_platt(margins, labels, np.ones(1_000))
    assert found.slope == SMALLEST_SLOPE
    assert (np.diff(found.scores(np.sort(margins))) >= 0).all()


def test_classes_that_are_apart_do_not_drive_the_slope_to_infinity():
    margins = np.concatenate([np.full(50, -3.0), np.full(5, 3.0)])
    labels = (margins > 0).astype(np.int64)
    found = fit_platt(margins, labels, np.ones(55))
    assert 0 < found.slope < 5
    assert found.scores(np.array([3.0]))[0] == pytest.approx(6 / 7, abs=1e-3)  # Platt's target


def test_equal_margins_get_the_share_of_positives():
    labels = np.array([1, 0, 0, 0, 0, 0, 0, 0])
    found = fit_platt(np.zeros(8), labels, np.ones(8))
    assert 0.1 < found.scores(np.zeros(1))[0] < 0.3


def test_sigmoid_does_not_overflow():
    np.testing.assert_allclose(sigmoid(np.array([-1e6, 0.0, 1e6])), [0.0, 0.5, 1.0])


def test_the_identity_leaves_a_probability_as_it_is():
    assert Calibration().scores(np.array([0.0]))[0] == 0.5
