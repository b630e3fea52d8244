"""Two versions of a view on the same points: what changes for whoever reads the new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from core.features.arrays import FloatArray
from core.recorded import ulp_distances

ONE_ULP = 1


class Difference(NamedTuple):
    """One feature in two versions, point by point.

    Attributes
    ----------
    feature
        Its name, in both.
    n_points
        Points compared.
    n_equal
        Both null, or at most one float32 step apart, which is what parity allows.
    n_lost, n_gained
        Null in the new version alone, and in the old one alone.
    largest
        Largest distance where both have a value, in the feature's unit; 0 where none has.
    mean_before, mean_after
        Mean of the values; NaN where there is none.
    correlation
        Pearson's, where both have a value; NaN where fewer than two have, or one is constant.
    """

    feature: str
    n_points: int
    n_equal: int
    n_lost: int
    n_gained: int
    largest: float
    mean_before: float
    mean_after: float
    correlation: float


def differences(
    before: Mapping[str, FloatArray], after: Mapping[str, FloatArray]
) -> list[Difference]:
    """Features of both versions, those that changed for the most points first.

    Parameters
    ----------
    before, after
        Values by feature, shape ``(n,)`` each, NaN for null, of the same points in order.

    Examples
    --------
    >>> old, new = np.array([1.0, np.nan, 3.0]), np.array([1.0, 2.0, 5.0])
    >>> (found,) = differences({"sum_1d": old}, {"sum_1d": new, "sum_2d": new})
    >>> found.n_equal, found.n_gained, found.largest
    (1, 1, 2.0)
    """
    found = [_difference(name, before[name], after[name]) for name in before if name in after]
    return sorted(found, key=lambda each: (each.n_equal - each.n_points, each.feature))


def _difference(name: str, before: FloatArray, after: FloatArray) -> Difference:
    was, came = ~np.isnan(before), ~np.isnan(after)
    both = was & came
    old, new = before[both], after[both]
    return Difference(
        feature=name,
        n_points=len(before),
        n_equal=int((ulp_distances(before, after) <= ONE_ULP).sum()),
        n_lost=int((was & ~came).sum()),
        n_gained=int((came & ~was).sum()),
        largest=float(np.abs(new - old).max()) if both.any() else 0.0,
        mean_before=float(before[was].mean()) if was.any() else float("nan"),
        mean_after=float(after[came].mean()) if came.any() else float("nan"),
        correlation=_correlation(old, new),
    )


def _correlation(one: FloatArray, other: FloatArray) -> float:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
