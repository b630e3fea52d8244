from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2, ks_2samp, kstwobign

from core.errors import InvalidInputError
from core.stats.tails import (
    chi_square_tail,
    kolmogorov_limit,
    kolmogorov_tail,
    wilson_interval,
)


@given(st.integers(1, 600), st.floats(0, 2_000))
def test_chi_square_tail_is_scipys(degrees, statistic):
    assert chi_square_tail(statistic, degrees) == pytest.approx(
        chi2.sf(statistic, degrees), abs=1e-12, rel=1e-9
    )


def test_chi_square_of_no_degree_is_refused():
    with pytest.raises(InvalidInputError, match="degree"):
        chi_square_tail(1.0, 0)


def test_kolmogorovs_limit_is_scipys():
    scaled = np.concatenate([np.linspace(0, 3, 301), [5.0, 9.0]])
    got = kolmogorov_tail(scaled, 2, 2)
    np.testing.assert_allclose(got, kstwobign.sf(scaled), atol=1e-12)


@pytest.mark.parametrize(("n", "m"), [(100, 100), (200, 200), (200, 5_000), (1_000, 1_000)])
def test_kolmogorovs_tail_is_near_the_exact_chance(n, m):
    rng = np.random.default_rng(n + m)
    for moved in np.linspace(0, 0.6, 25):
        exact = ks_2samp(rng.normal(size=n), rng.normal(moved, 1, size=m), method="exact")
        got = float(kolmogorov_tail(exact.statistic, n, m))
        assert exact.pvalue - 0.003 <= got <= exact.pvalue + 0.02
        if 0.001 < exact.pvalue < 0.1:
            assert exact.pvalue <= got <= 1.15 * exact.pvalue


@pytest.mark.parametrize("alpha", [0.2, 0.05, 1e-4])
def test_kolmogorovs_limit_is_where_the_tail_is_alpha(alpha):
    distance = kolmogorov_limit(alpha, 10**6, 3 * 10**6)
    assert kolmogorov_tail(distance, 10**6, 3 * 10**6) == pytest.approx(alpha, rel=1e-3)


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (1, 1), (3, 40), (999, 1_000)])
def test_wilsons_interval_is_scipys(successes, n):
    wanted = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson_interval(successes, n), wanted, atol=1e-7)
