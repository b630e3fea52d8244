from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from core.errors import InvalidInputError
from core.stats.histogram import categories_of, fine_edges_of, histogram_of
from core.stats.samples import kolmogorov_of, wasserstein_of
from core.stats.shift import shift_of


def test_a_column_of_numbers_is_compared_as_its_rows_would_be():
    rng = np.random.default_rng(0)
    before, after = rng.lognormal(3, 1, 20_000), rng.lognormal(3.2, 1, 5_000)
    edges = fine_edges_of(before)
    shift = shift_of(histogram_of(before, edges), histogram_of(after, edges))
    exact = kolmogorov_of(before, after)
    assert shift.effect.low <= exact <= shift.effect.high
    assert shift.effect.error < 0.01
    assert shift.p_value == pytest.approx(ks_2samp(before, after).pvalue, rel=0.5)
    clamped = np.clip(after, edges[0], edges[-1])
    assert shift.wasserstein is not None
    assert shift.wasserstein.low <= wasserstein_of(before, clamped) <= shift.wasserstein.high
    assert f"exact: {shift.effect.low:.4g} to {shift.effect.high:.4g}" in shift.sentence()


def test_a_null_flood_is_an_effect_of_its_size_in_any_kind_of_column():
    values = np.random.default_rng(1).normal(size=10_000)
    flooded = np.where(np.arange(10_000) % 10 < 3, np.nan, values)
    edges = fine_edges_of(values)
    shift = shift_of(histogram_of(values, edges), histogram_of(flooded, edges))
    assert shift.effect.value == pytest.approx(0.3, abs=1e-9)
    assert shift.missing_current_share == pytest.approx(0.3)
    assert shift.wasserstein is not None
    assert shift.wasserstein.value < 0.05
    reference = categories_of({"a": 500, "b": 500})
    assert shift_of(reference, reference.with_bins([500, 250, 250, 0])).effect.value == 0.5


def test_new_categories_are_an_effect_and_have_no_way_to_move():
    reference = categories_of({"a": 60, "b": 40})
    shift = shift_of(reference, reference.with_bins([0, 45, 30, 25]))
    assert shift.effect.value == shift.effect.high == pytest.approx(0.25)
    assert shift.wasserstein is None
    assert shift.p_value == shift.chi_square_p_value < 1e-5


def test_equal_profiles_have_not_moved():
    for profile in (
        categories_of({"a": 50, "b": 50}),
        histogram_of(np.arange(100.0), (20.0, 50.0)),
    ):
        shift = shift_of(profile, profile.merged(profile))
        assert shift.effect.value == shift.psi == shift.kullback_leibler == 0.0
        assert shift.p_value == shift.psi_p_value == 1.0
        assert "PSI 0.0000 (p 1), chi-square 0 (p 1)" in shift.sentence()


def test_a_column_without_any_value_is_compared_by_its_missing_ones():
    shape = histogram_of(np.array([1.0]), (0.0, 1.0)).emptied()
    shift = shift_of(shape.with_bins([50, 0, 0, 0]), shape.with_bins([50, 0, 0, 0]))
    assert shift.effect.value == 0.0
    assert shift.wasserstein is None


def test_empty_sides_and_unlike_bins_are_refused():
    column = categories_of({"a": 1})
    with pytest.raises(InvalidInputError, match="not all zero"):
        shift_of(column, column.emptied())
    with pytest.raises(InvalidInputError, match="unlike"):
        shift_of(column, categories_of({"b": 1}))
