"""A column before and now, as few bars as a person can look at.

Profiles have hundreds of bins, for distances. For eyes they are put together until each holds
about a tenth of the rows of the reference, so that what moved is seen where bars differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from core.features.plan import Frozen
from core.stats.histogram import Categories, ColumnProfile, Counts, Histogram

MOST_BARS = 10
MISSING, OTHERS = "missing", "all others"


class Bar(Frozen):
    """Values of one range or category: the shares of all rows that they had and have."""

    label: str
    before: float
    now: float


def bars_of(
    reference: ColumnProfile, current: ColumnProfile, *, most: int = MOST_BARS
) -> tuple[Bar, ...]:
    """Bars of a column, missing values first; ranges from low to high, categories by size.

    Parameters
    ----------
    reference, current
        Counted by the same bins.
    most
        Bars beside those of what is missing and of all other categories.

    Raises
    ------
    InvalidInputError
        If they were not counted by the same bins.

    Examples
    --------
    >>> before = Histogram(edges=(0.0, 1.0), counts=(0, 60, 40), n_null=0)
    >>> now = Histogram(edges=(0.0, 1.0), counts=(0, 10, 40), n_null=50)
    >>> for bar in bars_of(before, now):
    ...     print(bar.label, bar.before, bar.now)
    missing 0.0 0.5
    0 to 1 0.6 0.1
    1 or more 0.4 0.4
    """
    reference.emptied().merged(current.emptied())
    shares = [profile.bins / max(profile.n, 1) for profile in (reference, current)]
    if isinstance(reference, Categories):
        labels = list(_categories(reference, shares, most))
    else:
        labels = list(_ranges(reference, most))
    found = ((name, [float(share[bins].sum()) for share in shares]) for name, bins in labels)
    return tuple(Bar(label=name, before=b, now=n) for name, (b, n) in found if b or n)


Shares = NDArray[np.float64]
Labelled = tuple[str, Sequence[int]]
"""A label, and the bins that it stands for."""


def _ranges(reference: Histogram, most: int) -> Iterator[Labelled]:
    """Neighbouring bins put together, by their shares of the reference."""
    yield MISSING, [0]
    group = _groups(np.array(reference.counts, dtype=np.int64), most)
    for each in np.unique(group):
        bins = np.flatnonzero(group == each)
        first, last = int(bins[0]), int(bins[-1])
        low = reference.edges[first - 1] if first else None
        high = reference.edges[last] if last < len(reference.edges) else None
        yield _range(low, high), range(first + 1, last + 2)


def _groups(counts: Counts, most: int) -> Counts:
    """Which bar each bin belongs to; each its own where bins are few."""
    if len(counts) <= most + 2 or not counts.sum():
        return np.minimum(np.arange(len(counts)), most)
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    group: Counts = np.minimum(np.floor(middle * most), most - 1).astype(np.int64)
    return group


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return "any value" if high is None else f"below {_said(high)}"
    return f"{_said(low)} or more" if high is None else f"{_said(low)} to {_said(high)}"


def _said(edge: float) -> str:
    return f"{edge:,.0f}" if abs(edge) >= 1_000 else f"{edge:.3g}"


def _categories(reference: Categories, shares: Sequence[Shares], most: int) -> Iterator[Labelled]:
    """The largest categories of either side; the others together."""
    yield MISSING, [0]
    size = np.maximum(*shares)[1:-1]
    ordered = [int(place) for place in np.argsort(-size, kind="stable")]
    for place in ordered[:most]:
        yield reference.categories[place], [place + 1]
    yield OTHERS, [*(place + 1 for place in ordered[most:]), len(size) + 1]
