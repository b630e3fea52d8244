from __future__ import annotations

import math

import numpy as np
import pytest
from example_counts import examples
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, entropy, ks_2samp, wasserstein_distance

from core.errors import InvalidInputError
from core.stats.distances import (
    LEAST_EXPECTED,
    chi_square,
    jensen_shannon,
    kolmogorov,
    kullback_leibler,
    pooled,
    population_stability_index,
    stability_index_tail,
    total_variation,
    wasserstein,
)
from core.stats.histogram import histogram_of
from core.stats.samples import kolmogorov_of, wasserstein_of

COUNTS = hnp.arrays(np.int64, 7, elements=st.integers(0, 1_000))
VALUES = hnp.arrays(np.float64, st.integers(2, 60), elements=st.floats(-3, 3, width=16))
EDGES = (-3.0, -1.0, -0.5, 0.0, 0.25, 1.0, 3.5)
DIVERGENCES = (
    population_stability_index,
    kullback_leibler,
    jensen_shannon,
    total_variation,
    lambda r, c: kolmogorov(r, c)[0],
)


@given(COUNTS, COUNTS)
def test_divergences_are_scipys(reference, current):
    assume(reference.any() and current.any())
    r, c = reference / reference.sum(), current / current.sum()
    assert jensen_shannon(reference, current) == pytest.approx(
        jensenshannon(r, c, base=2), abs=1e-7
    )
    floored = np.maximum(r, 1e-4), np.maximum(c, 1e-4)
    assert kullback_leibler(reference, current) == pytest.approx(
        entropy(floored[1], floored[0]), abs=1e-12
    )
    assert total_variation(reference, current) == pytest.approx(np.abs(r - c).sum() / 2)


@given(COUNTS, COUNTS)
def test_stability_index_is_both_divergences_where_no_bin_is_empty(reference, current):
    reference, current = reference + 1, current + 1
    r, c = reference / reference.sum(), current / current.sum()
    wanted = entropy(c, r) + entropy(r, c)
    assert population_stability_index(reference, current, floor=1e-9) == pytest.approx(
        wanted, abs=1e-12
    )


@pytest.mark.parametrize("distance", DIVERGENCES)
def test_distances_are_zero_of_equal_shares_and_do_not_ask_for_size(distance):
    rng = np.random.default_rng(4)
    one, other = rng.integers(5, 90, 12), rng.integers(5, 90, 12)
    assert distance(one, 3 * one) == pytest.approx(0.0, abs=1e-8)
    assert distance(one, other) > 0
    assert distance(one, other) == pytest.approx(distance(10 * one, 7 * other))


@pytest.mark.parametrize("distance", DIVERGENCES[:-1])
def test_distances_of_categories_do_not_ask_for_their_order(distance):
    rng = np.random.default_rng(5)
    one, other, order = rng.integers(5, 90, 12), rng.integers(5, 90, 12), rng.permutation(12)
    assert distance(one, other) == pytest.approx(distance(one[order], other[order]))


@pytest.mark.parametrize("distance", DIVERGENCES)
def test_many_are_compared_in_one_call(distance):
    rng = np.random.default_rng(6)
    ones, others = rng.integers(1, 90, (5, 12)), rng.integers(1, 90, (5, 12))
    wanted = [float(distance(one, other)) for one, other in zip(ones, others, strict=True)]
    np.testing.assert_allclose(distance(ones, others), wanted)


@pytest.mark.parametrize("distance", DIVERGENCES)
@pytest.mark.parametrize(
    ("reference", "current"),
    [([0, 0], [1, 1]), ([1, 1], [0, 0]), ([1, -1], [1, 1]), ([1, np.nan], [1, 1]), ([1, 2], [1])],
)
def test_what_is_no_row_of_counts_is_refused(distance, reference, current):
    with pytest.raises(InvalidInputError):
        distance(reference, current)


@given(COUNTS, COUNTS)
def test_chi_square_is_scipys_on_the_table_that_it_tests(reference, current):
    assume(reference.any() and current.any())
    table = pooled(np.stack([reference, current]).astype(float))
    assert table.sum() == reference.sum() + current.sum()
    got = chi_square(reference, current)
    if table.shape[1] < 2:
        assert got.p_value == 1.0
        return
    wanted = chi2_contingency(table, correction=False)
    assert wanted.expected_freq.min() >= LEAST_EXPECTED
    assert got.statistic == pytest.approx(wanted.statistic, abs=1e-9)
    assert got.degrees == wanted.dof
    assert got.p_value == pytest.approx(wanted.pvalue, abs=1e-9)


@given(VALUES, VALUES)
def test_samples_are_as_far_apart_as_scipy_says(reference, current):
    assert kolmogorov_of(reference, current) == pytest.approx(
        ks_2samp(reference, current, method="asymp").statistic
    )
    assert wasserstein_of(reference, current) == pytest.approx(
        wasserstein_distance(reference, current), abs=1e-12
    )


def test_a_missing_value_is_lower_than_any_number():
    some, none = np.array([1.0, np.nan]), np.array([1.0, 1.0])
    assert kolmogorov_of(none, some) == 0.5
    assert wasserstein_of(none, some) == 0.0
    with pytest.raises(InvalidInputError, match="not missing"):
        wasserstein_of(none, np.array([np.nan]))
    with pytest.raises(InvalidInputError, match="empty"):
        kolmogorov_of(none, np.array([]))


@given(VALUES, VALUES)
def test_the_exact_distances_lie_within_the_bounds_of_the_bins(reference, current):
    one, other = histogram_of(reference, EDGES), histogram_of(current, EDGES)
    exact = kolmogorov_of(reference, current)
    value, most = kolmogorov(one.bins, other.bins, is_first_one_value=True)
    largest = max(max(h.counts) / h.n for h in (one, other))
    assert value - 1e-12 <= exact <= most + 1e-12
    assert most - value <= largest + 1e-12
    exact = wasserstein_of(reference, current)
    moved = wasserstein(one.counts, other.counts, EDGES)
    assert moved.low - 1e-12 <= exact <= moved.high + 1e-12
    assert moved.error <= max(np.diff(EDGES)) + 1e-12


def test_the_bounds_close_as_bins_get_finer():
    rng = np.random.default_rng(7)
    reference, current = rng.normal(size=20_000), rng.normal(0.3, 1.2, 20_000)
    errors = []
    for n_bins in (8, 64, 512):
        edges = np.linspace(-6, 6, n_bins + 1).tolist()
        one, other = histogram_of(reference, edges), histogram_of(current, edges)
        moved = wasserstein(one.counts, other.counts, edges)
        value, most = kolmogorov(one.counts, other.counts)
        errors.append((moved.error, float(most - value)))
        assert moved.value == pytest.approx(wasserstein_of(reference, current), abs=moved.error)
    assert errors[0] > errors[1] > errors[2]
    assert errors[2][0] < 0.03
    assert errors[2][1] < 0.01


def test_wasserstein_wants_all_edges():
    with pytest.raises(InvalidInputError, match="k \\+ 1 bins"):
        wasserstein([1, 1], [1, 1], [0.0, 1.0])


def test_the_index_of_equal_worlds_is_as_large_as_its_tail_says():
    rng, worlds = np.random.default_rng(8), examples(2_000)
    shares = np.full(10, 0.1)
    ones, others = rng.multinomial(2_000, shares, worlds), rng.multinomial(5_000, shares, worlds)
    found = population_stability_index(ones, others)
    chances = np.array([stability_index_tail(float(psi), 2_000, 5_000, 10) for psi in found])
    for alpha in (0.5, 0.1, 0.05):
        assert (chances <= alpha).mean() == pytest.approx(
            alpha, abs=4 * math.sqrt(alpha * (1 - alpha) / worlds)
        )
