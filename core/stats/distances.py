"""How far apart two rows of counts over the same bins are.

Every function takes counts with the bins on the last axis; leading axes broadcast, so one call
compares many columns or many draws. Sums may differ; each row is turned into shares. Where the
bins are all that can be known (categories), the numbers are exact. Where they are a histogram of
numbers, `kolmogorov` and `wasserstein` say how far the exact number can be from theirs; the
divergences are those of the bins, and finer bins can only make them larger.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.errors import InvalidInputError
from core.stats.tails import chi_square_tail

Array = NDArray[np.float64]

SMALLEST_SHARE = 1e-4
LEAST_EXPECTED = 5.0  # Cochran's rule: below it chi-square is not chi-square


class Bounded(NamedTuple):
    """A number from bins, and between what the exact one lies.

    Examples
    --------
    >>> print(Bounded(0.1, 0.1, 0.104))
    0.1 (exact: 0.1 to 0.104)
    """

    value: float
    low: float
    high: float

    @property
    def error(self) -> float:
        """Farthest that the exact number can be."""
        return max(self.high - self.value, self.value - self.low)

    def __str__(self) -> str:
        return f"{self.value:.4g} (exact: {self.low:.4g} to {self.high:.4g})"


class ChiSquare(NamedTuple):
    """Pearson's statistic of a table of two rows, and the chance of one as large."""

    statistic: float
    degrees: int
    p_value: float


def shares_of(counts: ArrayLike) -> Array:
    """Counts as shares of their sum.

    Raises
    ------
    InvalidInputError
        If a count is negative or not finite, or a row sums to zero.
    """
    values = np.asarray(counts, dtype=np.float64)
    total = values.sum(axis=-1, keepdims=True)
    if not np.isfinite(values).all() or (values < 0).any() or not (total > 0).all():
        raise InvalidInputError(
            "counts must be finite, not negative, and not all zero",
            found=f"sums from {total.min():g}, least count {values.min():g}",
            remedy="compare only where both sides have rows",
        )
    return np.asarray(values / total, dtype=np.float64)


def _both(reference: ArrayLike, current: ArrayLike) -> tuple[Array, Array]:
    r, c = shares_of(reference), shares_of(current)
    if r.shape[-1] != c.shape[-1]:
        raise InvalidInputError(
            "both sides must be counted by the same bins",
            found=f"{r.shape[-1]} and {c.shape[-1]} bins",
            remedy="count both by the edges of one reference",
        )
    return r, c


def population_stability_index(
    reference: ArrayLike, current: ArrayLike, *, floor: float = SMALLEST_SHARE
) -> Array:
    """Population stability index: the symmetrised Kullback-Leibler divergence, in nats.

    ``sum((c - r) * ln(c / r))``. Zero means equal shares; it grows without bound as bins empty
    out, so it depends on ``floor`` and on the binning: compare only like with like. Without any
    change it is about ``(bins - 1) * (1 / n_reference + 1 / n_current)``, see
    `stability_index_tail`.

    Parameters
    ----------
    reference, current
        Shape ``(..., bins)``.
    floor
        Smallest share that a bin may take, in ``(0, 1)``.

    Returns
    -------
    NDArray
        Nats, not negative; shape ``(...)``.

    Raises
    ------
    InvalidInputError
        If the bins differ in number, a count is negative or not finite, or a side is empty.

    References
    ----------
    Kullback & Leibler (1951), "On information and sufficiency", Ann. Math. Statist. 22(1),
    79-86.  (the symmetric divergence J)

    Examples
    --------
    >>> float(population_stability_index([50, 50], [500, 500]))
    0.0
    >>> round(float(population_stability_index([0.5, 0.5], [0.9, 0.1])), 4)
    0.8789
    """
    r, c = (np.maximum(shares, floor) for shares in _both(reference, current))
    return np.asarray(((c - r) * np.log(c / r)).sum(axis=-1), dtype=np.float64)


def stability_index_tail(psi: float, n_reference: int, n_current: int, n_bins: int) -> float:
    """Chance of an index as large without any change.

    ``psi / (1 / n_reference + 1 / n_current)`` is about chi-square with ``n_bins - 1`` degrees
    of freedom while every bin is expected to hold some five rows of either side.

    References
    ----------
    Yurdakul & Naranjo (2020), "Statistical properties of the population stability index",
    J. Risk Model Validation 14(4), 89-100.

    Examples
    --------
    >>> round(stability_index_tail(0.1, 200, 200, 10), 2)
    0.35
    """
    return chi_square_tail(psi / (1 / n_reference + 1 / n_current), n_bins - 1)


def kullback_leibler(
    reference: ArrayLike, current: ArrayLike, *, floor: float = SMALLEST_SHARE
) -> Array:
    """``sum(c * ln(c / r))``, in nats: what it costs to code ``current`` by ``reference``.

    Not symmetric, infinite without a ``floor`` when a bin is new. A floor lifts shares, so they
    are made to sum to one again.

    Examples
    --------
    >>> round(float(kullback_leibler([0.5, 0.5], [0.9, 0.1])), 4)
    0.3681
    """
    r, c = (shares_of(np.maximum(shares, floor)) for shares in _both(reference, current))
    return np.asarray((c * np.log(c / r)).sum(axis=-1), dtype=np.float64)


def jensen_shannon(reference: ArrayLike, current: ArrayLike) -> Array:
    """Jensen-Shannon distance, base 2: the root of the mean divergence from the middle.

    In ``[0, 1]``: 0 for equal shares, 1 where no bin is shared. A metric, and it needs no floor.

    References
    ----------
    Lin (1991), "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory
    37(1), 145-151; Endres & Schindelin (2003), ibid. 49(7), 1858-1860 (its root is a metric).

    Examples
    --------
    >>> float(jensen_shannon([1, 0], [0, 1])), float(jensen_shannon([1, 1], [2, 2]))
    (1.0, 0.0)
    """
    r, c = _both(reference, current)
    middle = (r + c) / 2
    divergence = (_relative_entropy(r, middle) + _relative_entropy(c, middle)) / 2
    return np.sqrt(np.clip(divergence / math.log(2), 0.0, 1.0))


def _relative_entropy(p: Array, q: Array) -> Array:
    p, q = np.broadcast_arrays(p, q)
    ratio = np.divide(p, q, out=np.ones(p.shape), where=p > 0)
    return np.asarray((p * np.log(ratio)).sum(axis=-1), dtype=np.float64)


def total_variation(reference: ArrayLike, current: ArrayLike) -> Array:
    """Half the sum of differences: the share of rows that would have to change bins.

    Examples
    --------
    >>> round(float(total_variation([50, 50], [90, 10])), 12)
    0.4
    """
    r, c = _both(reference, current)
    return np.asarray(np.abs(c - r).sum(axis=-1) / 2, dtype=np.float64)


def chi_square(reference: ArrayLike, current: ArrayLike) -> ChiSquare:
    """Pearson's test that two rows of counts come from the same shares.

    Bins with fewer than five rows expected on either side are put together first, because
    there the statistic does not follow its distribution. One bin left says nothing: p is 1.
    Takes counts, not shares; for large samples any difference is significant, so look at the
    size first.

    References
    ----------
    Pearson (1900), Philosophical Magazine 50(302), 157-175; Cochran (1954), Biometrics 10(4),
    417-451 (the rule of five).

    Examples
    --------
    >>> chi_square([50, 50], [90, 10]).p_value < 1e-8
    True
    """
    _both(reference, current)
    table = pooled(np.stack([np.asarray(reference), np.asarray(current)]).astype(np.float64))
    if table.shape[1] < 2:
        return ChiSquare(0.0, 0, 1.0)
    expected = _expected(table)
    statistic = float(((table - expected) ** 2 / expected).sum())
    degrees = table.shape[1] - 1
    return ChiSquare(statistic, degrees, chi_square_tail(statistic, degrees))


def pooled(table: Array) -> Array:
    """Table of two rows with the bins that are too empty to test put together at its end."""
    table = table[:, table.sum(axis=0) > 0]
    is_rare = _expected(table).min(axis=0) < LEAST_EXPECTED
    if not is_rare.any():
        return table
    rare = table[:, is_rare].sum(axis=1, keepdims=True)
    joined = np.concatenate([table[:, ~is_rare], rare], axis=1)
    if _expected(joined)[:, -1].min() >= LEAST_EXPECTED or joined.shape[1] == 1:
        return joined
    least = int(joined[:, :-1].sum(axis=0).argmin())  # still too few: with the rarest of the rest
    joined[:, least] += joined[:, -1]
    return joined[:, :-1]


def _expected(table: Array) -> Array:
    return np.asarray(
        table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum(), dtype=np.float64
    )


def kolmogorov(
    reference: ArrayLike, current: ArrayLike, *, is_first_one_value: bool = False
) -> tuple[Array, Array]:
    """Kolmogorov's distance on the edges of the bins, and the most that the exact one can be.

    Bins must be in order. Between two edges the cumulative shares only rise, so inside a bin
    the difference can go beyond that at its left edge by the bin's share of one side at most:
    the exact distance lies between the two numbers returned, which differ by at most the
    largest share of a bin. With ``is_first_one_value`` nothing lies inside the first bin, as
    with missing values.

    Examples
    --------
    >>> [round(float(number), 12) for number in kolmogorov([1, 1], [1, 3])]
    [0.25, 0.75]
    """
    r, c = _both(reference, current)
    right = np.cumsum(c, axis=-1) - np.cumsum(r, axis=-1)
    left = right - (c - r)
    value = np.abs(right).max(axis=-1)
    inside = np.maximum(np.abs(left + c), np.abs(left - r))
    most = inside[..., 1:].max(axis=-1, initial=0.0) if is_first_one_value else inside.max(axis=-1)
    return value, np.maximum(value, most)


def wasserstein(reference: ArrayLike, current: ArrayLike, edges: ArrayLike) -> Bounded:
    """Wasserstein distance of values clamped to the edges, in the column's unit.

    ``integral |C(x) - R(x)| dx`` over the range of the edges, the cumulative shares taken as
    straight lines inside a bin. The true ones depart from the lines by half a bin's share on
    average at most, which bounds the error by ``sum(width * (r + c)) / 2``.

    Parameters
    ----------
    reference, current
        Shape ``(k + 1,)``: below the first edge, between them, at or above the last. Missing
        values have no distance and do not belong in here.
    edges
        Shape ``(k,)``.

    Examples
    --------
    >>> wasserstein([0, 5, 5, 0], [0, 5, 5, 0], [0.0, 1.0, 2.0]).value
    0.0
    """
    r, c = _both(reference, current)
    widths = np.diff(np.asarray(edges, dtype=np.float64))
    if len(widths) + 2 != r.shape[-1]:
        raise InvalidInputError(
            "k edges part k + 1 bins",
            found=f"{len(widths) + 1} edges, {r.shape[-1]} bins",
            remedy="leave out the missing values and give all edges",
        )
    gaps = np.cumsum(c - r)[:-1]
    value = float((widths * _mean_absolute(gaps[:-1], gaps[1:])).sum())
    error = float((widths * (r + c)[1:-1]).sum() / 2)
    return Bounded(value, max(value - error, 0.0), value + error)


def _mean_absolute(start: Array, end: Array) -> Array:
    """Mean of ``|line|`` from ``start`` to ``end``."""
    first, last = np.abs(start), np.abs(end)
    total = first + last
    crossing = np.divide(first**2 + last**2, total, out=np.zeros(total.shape), where=total > 0)
    return np.where(start * end < 0, crossing, total) / 2
