import math
from fractions import Fraction

import numpy as np
import pytest

from core.features import kernel_slides, sums

TRIALS = 200


def heavy_tailed(rng: np.random.Generator, n: int) -> list[float]:
    values: list[float] = (rng.normal(size=n) * 10.0 ** rng.uniform(-10, 12, size=n)).tolist()
    return values


def pair_sum(values: list[float]) -> tuple[float, float]:
    pair = (0.0, 0.0)
    for x in values:
        pair = sums.add(*pair, x)
    return pair


def test_sums_of_heavy_tails_are_correctly_rounded() -> None:
    rng = np.random.default_rng(1)
    for _ in range(TRIALS):
        values = heavy_tailed(rng, 40)
        assert pair_sum(values)[0] == math.fsum(values)


def test_grouping_changes_nothing_in_float32_where_plain_sums_differ() -> None:
    rng = np.random.default_rng(2)
    n_plain = 0
    for _ in range(TRIALS):
        values = [1e20, *heavy_tailed(rng, 30), -1e20]
        cut = int(rng.integers(1, 31))
        parts = sums.merge(*pair_sum(values[cut:]), *pair_sum(values[:cut]))
        assert np.float32(parts[0]) == np.float32(pair_sum(values)[0])
        n_plain += np.float32(sum(values)) != np.float32(math.fsum(values))
    assert n_plain > TRIALS / 2


def test_square_and_product_are_exact_to_104_bits() -> None:
    rng = np.random.default_rng(3)
    for x, y in zip(heavy_tailed(rng, TRIALS), heavy_tailed(rng, TRIALS), strict=True):
        hi, lo = sums.square(x)
        assert Fraction(hi) + Fraction(lo) == Fraction(x) ** 2
        hi, lo = sums.product(x, 0.0, y, 0.0)
        assert Fraction(hi) + Fraction(lo) == Fraction(x) * Fraction(y)


def test_arrays_give_the_bits_of_floats() -> None:
    rng = np.random.default_rng(4)
    columns = [np.array(heavy_tailed(rng, TRIALS)) for _ in range(4)]
    for function in (sums.merge, sums.product):
        together = function(*columns)
        singly = [function(*map(float, row)) for row in zip(*columns, strict=True)]
        assert list(zip(*(part.tolist() for part in together), strict=True)) == singly


def test_compiled_twins_give_the_bits_of_the_originals() -> None:
    rng = np.random.default_rng(5)
    for _ in range(TRIALS):
        a, b, c, d = heavy_tailed(rng, 4)
        assert kernel_slides.merge_pairs(a, b * 1e-17, c, d) == sums.merge(a, b * 1e-17, c, d)
        assert kernel_slides.square_pair(a) == sums.square(a)


def moments(values: list[float], centre: float) -> tuple[tuple[float, float], tuple[float, float]]:
    first, second = (0.0, 0.0), (0.0, 0.0)
    for value in values:
        first = sums.add(*first, value - centre)
        second = sums.merge(*second, *sums.square(value - centre))
    return first, second


@pytest.mark.parametrize("centre", [0.0, 1e6, 5e5])
def test_deviation_agrees_with_numpy_whatever_the_centre(centre: float) -> None:
    values = (1e6 + np.random.default_rng(6).normal(size=500)).tolist()
    found = sums.deviation(len(values), *moments(values, centre))
    assert found == pytest.approx(float(np.std(values)), rel=1e-9)


def test_deviation_of_equal_values_far_from_the_centre_is_exactly_zero() -> None:
    for value in (0.1, 1e9 + 0.3, 7.0):
        for n in (1, 2, 3, 10):
            assert sums.deviation(n, *moments([value] * n, -123.456)) == 0.0


def test_deviations_of_arrays_are_those_of_numbers() -> None:
    rng = np.random.default_rng(7)
    samples = [heavy_tailed(rng, int(n)) for n in rng.integers(0, 6, size=50)]
    pairs = [moments(sample, 0.5) for sample in samples]
    first, second = (tuple(np.array([p[k] for p in pairs]).T) for k in (0, 1))
    counts = np.array([float(len(sample)) for sample in samples])
    found = sums.deviations(counts, first, second)
    for value, sample, pair in zip(found, samples, pairs, strict=True):
        expected = sums.deviation(len(sample), *pair)
        assert (math.isnan(value) and expected is None) or value == expected
