from __future__ import annotations

import numpy as np
import pytest

from core.errors import InvalidInputError
from core.stats.control_charts import ewma, level_of, shewhart, usual_points


def run_length(chart):
    is_out = chart.is_out
    assert is_out.any(axis=-1).mean() > 0.999
    return float((is_out.argmax(axis=-1) + 1).mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chart", "moved", "wanted", "n_points"),
    [
        (shewhart, 0.0, 370.4, 5_000),
        (shewhart, 1.0, 43.9, 600),
        (shewhart, 3.0, 2.0, 60),
        (ewma, 0.0, 490.0, 6_000),
        (ewma, 1.0, 8.4, 300),
    ],
)
def test_run_lengths_are_those_of_the_tables(chart, moved, wanted, n_points):
    """A false alarm every so many points, a shift found after so many."""
    rng = np.random.default_rng(n_points)
    lengths = [
        run_length(chart(rng.normal(moved, 1.0, (1_000, n_points)), 0.0, 1.0)) for _ in range(4)
    ]
    assert np.mean(lengths) == pytest.approx(wanted, rel=0.06)


def test_a_small_lasting_shift_is_the_ewmas_and_a_large_jump_is_shewharts():
    rng = np.random.default_rng(1)
    lasting = rng.normal(0.0, 1.0, 60) + np.where(np.arange(60) >= 30, 1.5, 0.0)
    jump = np.where(np.arange(60) == 30, 5.0, 0.0)
    assert ewma(lasting, 0.0, 1.0).is_out[30:].sum() > shewhart(lasting, 0.0, 1.0).is_out[30:].sum()
    assert shewhart(jump, 0.0, 1.0).is_out.nonzero()[0].tolist() == [30]
    assert not ewma(jump, 0.0, 1.0, width=3.0).is_out.any()


def test_ewma_by_a_loop_and_a_missing_day_leaves_its_point():
    values, weight, point = [1.0, float("nan"), 3.0], 0.2, 0.5
    points = []
    for value in values:
        point = point if value != value else weight * value + (1 - weight) * point
        points.append(point)
    chart = ewma(values, 0.5, 2.0, weight=weight, width=3.0)
    np.testing.assert_allclose(chart.points, points)
    np.testing.assert_allclose(chart.upper[0], 0.5 + 3.0 * 2.0 * weight)
    assert not chart.is_out.any()


def test_each_day_may_have_limits_of_its_own():
    chart = shewhart([0.3, 0.3], 0.2, np.array([0.04, 0.004]))
    assert chart.is_out.tolist() == [False, True]


def test_a_level_is_not_widened_by_a_drift_within_its_reference():
    rng = np.random.default_rng(2)
    noise = rng.normal(5.0, 2.0, 2_000)
    drifting = noise + np.linspace(0, 20, 2_000)
    assert level_of(noise).spread == pytest.approx(2.0, rel=0.05)
    assert level_of(drifting).spread == pytest.approx(2.0, rel=0.05)
    assert level_of(noise).centre == pytest.approx(5.0, abs=0.15)


@pytest.mark.parametrize("reference", [[1.0] * 20, [1.0, 2.0], [], [np.nan] * 20])
def test_what_gives_no_level_is_refused(reference):
    with pytest.raises(InvalidInputError, match="eight points"):
        level_of(reference)


@pytest.mark.parametrize("places", [[5], [3, 9, 20], [1, 7, 14, 23], list(range(18, 28))])
def test_days_far_off_say_nothing_about_what_is_usual(places):
    values = np.random.default_rng(3).normal(0.0, 1.0, 28)
    values[places] += 12.0
    is_usual = usual_points(values)
    assert not is_usual[places].any()
    assert is_usual.sum() >= 28 - len(places) - 1


def test_few_days_of_noise_are_taken_for_far_off():
    rng = np.random.default_rng(4)
    left_out = [28 - usual_points(rng.normal(0.0, 1.0, 28)).sum() for _ in range(300)]
    assert np.mean(left_out) < 28 * 0.01


def test_what_would_leave_too_few_or_equal_days_is_not_left_out():
    assert usual_points([0.0] * 27 + [1.0]).all()
    assert usual_points([1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 90.0]).all()
    assert usual_points([np.nan, 1.0]).tolist() == [False, True]
    assert usual_points([]).tolist() == []
