"""What was counted of one column: a histogram by fixed edges, or counts by fixed categories.

Edges and categories come from a reference and are written down, so that a bin means the same
for ever and counts of any two periods may be added. Adding is exact, in any order and any
grouping; a missing value is counted apart and is never dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt

from core.errors import InvalidInputError
from core.features.plan import Frozen

FINE_BINS = 256
"""Bins of a profile that is compared: no bin of the reference holds more than 0.6 % of its rows
unless one value does."""

FINE_DIGITS = 5
COARSE_DIGITS = 3
MOST_CATEGORIES = 256
CHUNK_ROWS = 65_536  # sorts within the second-level cache

Counts = NDArray[np.int64]


class Histogram(Frozen):
    """Counts between ``edges``, and outside of them.

    ``counts`` has one entry more than ``edges``: below the first, then ``[e0, e1)`` and so
    on, then at or above the last. ``n_null`` counts NaN apart. A constant has one edge.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    n_null: int

    @property
    def n(self) -> int:
        """Values seen, nulls among them."""
        return sum(self.counts) + self.n_null

    @property
    def bins(self) -> Counts:
        """Counts as one row, missing values first: they count as lower than any number."""
        return np.array((self.n_null, *self.counts), dtype=np.int64)

    def with_bins(self, bins: Sequence[int] | Counts) -> Histogram:
        """Other counts by the same edges, given as `bins` gives them."""
        null, *counts = (int(count) for count in bins)
        return Histogram.model_construct(edges=self.edges, counts=tuple(counts), n_null=null)

    def emptied(self) -> Histogram:
        """The edges alone: the neutral element of `merged`."""
        return self.with_bins([0] * (len(self.edges) + 2))

    def merged(self, other: Histogram | Categories) -> Histogram:
        """Both counted together.

        Raises
        ------
        InvalidInputError
            If the edges differ: counts of unlike bins cannot be added.

        Examples
        --------
        >>> half = Histogram(edges=(0.0,), counts=(1, 2), n_null=3)
        >>> half.merged(half)
        Histogram(edges=(0.0,), counts=(2, 4), n_null=6)
        """
        if not isinstance(other, Histogram) or other.edges != self.edges:
            raise _unlike(f"{len(self.edges)} edges and others")
        return self.with_bins(self.bins + other.bins)


class Categories(Frozen):
    """Counts of declared ``categories``, of all other texts together, and of missing ones."""

    categories: tuple[str, ...]
    counts: tuple[NonNegativeInt, ...]
    n_other: NonNegativeInt
    n_null: NonNegativeInt

    @property
    def n(self) -> int:
        """Values seen, nulls among them."""
        return sum(self.counts) + self.n_other + self.n_null

    @property
    def bins(self) -> Counts:
        """Counts as one row: missing, each category, all others."""
        return np.array((self.n_null, *self.counts, self.n_other), dtype=np.int64)

    def with_bins(self, bins: Sequence[int] | Counts) -> Categories:
        """Other counts of the same categories, given as `bins` gives them."""
        null, *counts, other = (int(count) for count in bins)
        return Categories.model_construct(
            categories=self.categories, counts=tuple(counts), n_other=other, n_null=null
        )

    def emptied(self) -> Categories:
        """The categories alone: the neutral element of `merged`."""
        return self.with_bins([0] * (len(self.categories) + 2))

    def merged(self, other: Histogram | Categories) -> Categories:
        """Both counted together; InvalidInputError if the categories differ.

        Examples
        --------
        >>> some = Categories(categories=("a", "b"), counts=(1, 0), n_other=2, n_null=0)
        >>> some.merged(some).counts
        (2, 0)
        """
        if not isinstance(other, Categories) or other.categories != self.categories:
            raise _unlike(f"{len(self.categories)} categories and others")
        return self.with_bins(self.bins + other.bins)


ColumnProfile = Histogram | Categories


def _unlike(found: str) -> InvalidInputError:
    return InvalidInputError(
        "counts of unlike bins cannot be put together",
        found=found,
        remedy="count both by the bins of one reference",
        code="unlike_bins",
    )


def counts_between(values: NDArray[np.floating], edges: NDArray[np.float64]) -> Counts:
    """Counts of NaN, below the first edge, between the edges, at or above the last.

    Chunks are sorted and the edges looked up in them: with vectorised sorting that is several
    times quicker than looking up each value among the edges, and gives the same counts.

    Parameters
    ----------
    values
        Shape ``(n,)``, float32 or float64; NaN is missing.
    edges
        Shape ``(k,)``, rising.

    Returns
    -------
    NDArray
        Shape ``(k + 2,)``; sums to ``n``.

    Examples
    --------
    >>> counts_between(np.array([-1.0, 0.0, 0.5, 1.0, np.nan]), np.array([0.0, 1.0])).tolist()
    [1, 1, 2, 1]
    """
    asked = _same_precision(values, edges)
    below = np.zeros(len(edges) + 1, dtype=np.int64)
    for start in range(0, len(values), CHUNK_ROWS):
        ordered = np.sort(values[start : start + CHUNK_ROWS])
        below[:-1] += ordered.searchsorted(asked)
        below[-1] += ordered.searchsorted(ordered.dtype.type(np.nan))  # NaN sorts last
    counts = np.diff(below, prepend=0)
    return np.concatenate(([len(values) - below[-1]], counts))


def _same_precision(
    values: NDArray[np.floating], edges: NDArray[np.float64]
) -> NDArray[np.floating]:
    """Edges that part ``values`` as ``edges`` do, in their precision.

    ``v < e`` for a float32 ``v`` holds exactly when ``v`` is below the least float32 that is
    not below ``e``.
    """
    if values.dtype != np.float32:
        return edges
    with np.errstate(over="ignore"):  # an edge beyond float32 is beyond all values too
        nearest = edges.astype(np.float32)
    return np.where(nearest < edges, np.nextafter(nearest, np.float32(np.inf)), nearest)


def histogram_of(values: NDArray[np.floating], edges: Sequence[float]) -> Histogram:
    """Count ``values`` (shape ``(n,)``, NaN is null) into bins between ``edges``.

    Examples
    --------
    >>> histogram_of(np.array([-1.0, 0.0, 0.5, 1.0, np.nan]), (0.0, 1.0))
    Histogram(edges=(0.0, 1.0), counts=(1, 2, 1), n_null=1)
    """
    if any(right <= left for left, right in pairwise(edges)):
        raise InvalidInputError(
            "edges must rise", found=str(list(edges)), remedy="sort them and drop doubles"
        )
    shape = Histogram(edges=tuple(edges), counts=(0,) * (len(edges) + 1), n_null=0)
    exact = np.asarray(values)
    floating = exact if exact.dtype == np.float32 else exact.astype(np.float64, copy=False)
    return shape.with_bins(counts_between(floating, np.asarray(edges, dtype=np.float64)))


def edges_of(values: NDArray[np.floating], n_bins: int = 10) -> tuple[float, ...]:
    """Edges at the quantiles of ``values``, rounded to three significant digits.

    Quantiles rather than equal widths, because money and counts have heavy tails. They are
    rounded so that none of them is one subject's value. A column without a value has the one
    edge 0.

    Examples
    --------
    >>> edges_of(np.array([1.0, 2.0, 3.0, 123456.0]), n_bins=1)
    (1.0, 123000.0)
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if len(known) == 0:
        return (0.0,)
    quantiles = np.quantile(known, np.linspace(0.0, 1.0, n_bins + 1))
    return tuple(sorted({float(f"{edge:.{COARSE_DIGITS}g}") for edge in quantiles}))


def fine_edges_of(values: NDArray[np.floating], n_bins: int = FINE_BINS) -> tuple[float, ...]:
    """Edges for a profile that is compared: at the distinct values where they are few.

    A column of few distinct values has an edge at each, so that what is counted is the column
    itself. Another has three edges in four at its quantiles, which bounds the error of
    Kolmogorov's distance, and one in four at equal steps, which bounds that of Wasserstein's.
    All are rounded down to five digits of themselves or of the column's range, whichever is
    finer.

    Examples
    --------
    >>> fine_edges_of(np.array([3.0, 1.0, 1.0, np.nan]))
    (1.0, 3.0)
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    ordered = ordered[ordered.searchsorted(-np.inf, "right") : ordered.searchsorted(np.inf)]
    if not len(ordered):
        return (0.0,)
    is_first = np.diff(ordered, prepend=-np.inf) > 0
    if is_first.sum() <= n_bins:
        return _rounded_down(ordered[is_first])
    places = np.linspace(0, len(ordered) - 1, n_bins * 3 // 4 + 1).astype(np.int64)
    steps = np.linspace(ordered[0], ordered[-1], n_bins // 4 + 1)[1:-1]
    return _rounded_down(np.concatenate([ordered[places], steps]))


def _rounded_down(values: NDArray[np.float64]) -> tuple[float, ...]:
    size = np.minimum(np.abs(values), np.ptp(values) or np.inf)
    scale = 10.0 ** (FINE_DIGITS - 1 - np.floor(np.log10(np.where(size > 0, size, 1.0))))
    exact = values * scale
    rounded = np.floor(exact + 1e-6) / scale  # 0.29 * 100 is a little below 29
    return tuple(np.unique(np.minimum(rounded, values)).tolist())


def categories_of(
    counts: Mapping[str, int], *, n_null: int = 0, most: int = MOST_CATEGORIES
) -> Categories:
    """Profile of a column of texts by its most frequent values, ties by text.

    Examples
    --------
    >>> categories_of({"b": 2, "a": 1, "c": 1}, n_null=1, most=2)
    Categories(categories=('a', 'b'), counts=(1, 2), n_other=1, n_null=1)
    """
    kept = sorted(sorted(counts, key=lambda text: (-counts[text], text))[:most])
    return Categories(
        categories=tuple(kept),
        counts=tuple(counts[text] for text in kept),
        n_other=sum(counts.values()) - sum(counts[text] for text in kept),
        n_null=n_null,
    )
