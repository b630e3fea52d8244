"""Tails of the distributions that a test needs: numpy alone has none of them.

SciPy has all; it does not belong to what `core` may import, nor into the service, where the
same verdicts are drawn. Each formula stands with its source and is held to SciPy by a test.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import InvalidInputError

Array = NDArray[np.float64]

_CONVERGED = 1e-15
_TINY = 1e-300
_MOST_TERMS = 100_000
_KOLMOGOROV_TERMS = 12  # the next term is below 1e-100 on either side of the switch
_SWITCH = 1.0


def chi_square_tail(statistic: float, degrees: int) -> float:
    """Chance that chi-square with ``degrees`` of freedom exceeds ``statistic``.

    The regularised incomplete gamma function ``Q(degrees / 2, statistic / 2)``: its series
    below the mean, its continued fraction above. Absolute error below 1e-12.

    References
    ----------
    NIST Digital Library of Mathematical Functions, 8.7.1 (series) and 8.9.2 (fraction);
    Lentz (1976), Applied Optics 15(3), 668-671 (how a fraction is evaluated).

    Examples
    --------
    >>> round(chi_square_tail(3.841458820694124, 1), 12)
    0.05
    """
    if degrees < 1:
        raise InvalidInputError(
            "chi-square needs a degree of freedom", found=str(degrees), remedy="compare two bins"
        )
    a, x = degrees / 2, statistic / 2
    if x <= 0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        return max(1.0 - front * _gamma_series(a, x), 0.0)
    return front * _gamma_fraction(a, x)


def _gamma_series(a: float, x: float) -> float:
    term = total = 1.0 / a
    for step in range(1, _MOST_TERMS):
        term *= x / (a + step)
        total += term
        if term < total * _CONVERGED:
            break
    return total


def _gamma_fraction(a: float, x: float) -> float:
    b = x + 1.0 - a
    c, d = 1.0 / _TINY, 1.0 / b
    value = d
    for step in range(1, _MOST_TERMS):
        numerator = -step * (step - a)
        b += 2.0
        d = 1.0 / (_away_from_zero(numerator * d + b))
        c = _away_from_zero(b + numerator / c)
        value *= c * d
        if abs(c * d - 1.0) < _CONVERGED:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def kolmogorov_tail(distance: ArrayLike, n_reference: ArrayLike, n_current: ArrayLike) -> Array:
    """Chance that two samples of one continuous distribution are ``distance`` apart or more.

    Kolmogorov's limit for many rows. From 100 rows a side it is at most 0.003 below the exact
    chance and 0.02 above it, at most 15 % above where that is between 0.1 % and 10 %. Ties and
    bins make the true chance smaller still: what errs, errs towards "no difference".

    Parameters
    ----------
    distance
        Greatest difference of the two cumulative shares, in ``[0, 1]``.
    n_reference, n_current
        Sizes, one or more.

    References
    ----------
    Kolmogorov (1933), Giorn. Ist. Ital. Attuari 4, 83-91; Smirnov (1948), Ann. Math. Statist.
    19(2), 279-281 (two samples).

    Examples
    --------
    >>> float(kolmogorov_tail(0.0, 100, 100))
    1.0
    >>> round(float(kolmogorov_tail(0.0607, 1000, 1000)), 3)
    0.05
    """
    n, m = np.asarray(n_reference, dtype=np.float64), np.asarray(n_current, dtype=np.float64)
    return _kolmogorov_limit(np.sqrt(n * m / (n + m)) * np.asarray(distance, np.float64))


def _kolmogorov_limit(scaled: Array) -> Array:
    """``2 sum (-1)^(k-1) exp(-2 k^2 x^2)``, by Jacobi's transform of it for small ``x``."""
    x = np.maximum(scaled, 0.03)[..., np.newaxis]  # the tail is 1 below, and exp stays finite
    k = np.arange(1, _KOLMOGOROV_TERMS + 1)
    large = 2 * ((-1.0) ** (k - 1) * np.exp(-2 * k**2 * x**2)).sum(axis=-1)
    odd = (2 * k - 1) * np.pi
    small = 1 - (math.sqrt(2 * math.pi) / x[..., 0]) * np.exp(-(odd**2) / (8 * x**2)).sum(axis=-1)
    tail: Array = np.clip(np.where(x[..., 0] < _SWITCH, small, large), 0.0, 1.0)
    return tail


def kolmogorov_limit(alpha: float, n_reference: int, n_current: int) -> float:
    """Distance that two samples of one distribution exceed with a chance of at most ``alpha``.

    ``sqrt(-ln(alpha / 2) / 2 * (1 / n + 1 / m))``: the first term of the series, which bounds
    it. For ``alpha`` up to 0.2 the chance is ``alpha`` itself within 1e-5.

    Examples
    --------
    >>> round(kolmogorov_limit(0.05, 1000, 1000), 4)
    0.0607
    """
    return math.sqrt(-math.log(alpha / 2) / 2 * (1 / n_reference + 1 / n_current))


def wilson_interval(successes: ArrayLike, n: ArrayLike, z: float = 1.959964) -> Array:
    """Interval of a share, 95 % by default: shape ``(2, ...)``, within ``[0, 1]``.

    References
    ----------
    Wilson (1927), J. Am. Stat. Assoc. 22(158), 209-212.

    Examples
    --------
    >>> wilson_interval(0, 10).round(3).tolist()
    [0.0, 0.278]
    """
    s, total = np.asarray(successes, np.float64), np.asarray(n, np.float64)
    share = s / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
    return np.clip(np.stack([centre - half, centre + half]), 0.0, 1.0)
