"""What the inputs and the score looked like in training: histograms by declared edges.

Drift checks count current values into the same bins. Edges are written down, never
derived again from data, so that a bin means the same for ever; they are rounded, so
that none of them is one subject's value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.features.plan import Frozen

SCORE_EDGES = tuple(round(step / 20, 2) for step in range(21))
SIGNIFICANT_DIGITS = 3


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


class Profile(Frozen):
    """Histograms of each feature of the vector and of the score, on the training part.

    ``decisions`` counts what the policy decided on the same rows.
    """

    n: int
    features: dict[str, Histogram]
    score: Histogram
    decisions: dict[str, int]


def histogram_of(values: NDArray[np.floating], edges: Sequence[float]) -> Histogram:
    """Count ``values`` (shape ``(n,)``, NaN is null) into bins between ``edges``.

    Examples
    --------
    >>> histogram_of(np.array([-1.0, 0.0, 0.5, 1.0, np.nan]), (0.0, 1.0))
    Histogram(edges=(0.0, 1.0), counts=(1, 2, 1), n_null=1)
    """
    exact = np.asarray(values, dtype=np.float64)
    known = exact[~np.isnan(exact)]
    if any(right <= left for left, right in pairwise(edges)):
        raise InvalidInputError(
            "edges must rise", found=str(list(edges)), remedy="sort them and drop doubles"
        )
    bins = np.searchsorted(np.asarray(edges, dtype=np.float64), known, side="right")
    counts = np.bincount(bins, minlength=len(edges) + 1)
    return Histogram(
        edges=tuple(edges),
        counts=tuple(int(count) for count in counts),
        n_null=int(len(exact) - len(known)),
    )


def edges_of(values: NDArray[np.floating], n_bins: int = 10) -> tuple[float, ...]:
    """Edges at the quantiles of ``values``, rounded to three significant digits.

    Quantiles rather than equal widths, because money and counts have heavy tails. A
    column without a value has the one edge 0.

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
    return tuple(sorted({float(f"{edge:.{SIGNIFICANT_DIGITS}g}") for edge in quantiles}))


def profile_of(
    vectors: NDArray[np.float32],
    names: Sequence[str],
    scores: NDArray[np.floating],
    decisions: Mapping[str, int],
) -> Profile:
    """Profile of ``vectors`` (shape ``(n, d)``, columns called ``names``) and their scores."""
    features = {
        name: histogram_of(vectors[:, index], edges_of(vectors[:, index]))
        for index, name in enumerate(names)
    }
    return Profile(
        n=len(vectors),
        features=features,
        score=histogram_of(scores, SCORE_EDGES),
        decisions=dict(decisions),
    )
