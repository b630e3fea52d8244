"""Two versions of a view on the same points: what changes for whoever reads the new one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from core.features.arrays import FloatArray
from core.features.plan import Frozen, ViewPlan
from core.recorded import ulp_distances

ONE_ULP = 1


class Difference(Frozen):
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
        Mean of the values; None where there is none.
    correlation
        Pearson's, where both have a value; None where fewer than two have, or one is constant.
    """

    feature: str
    n_points: int = Field(ge=1)
    n_equal: int
    n_lost: int
    n_gained: int
    largest: float
    mean_before: float | None
    mean_after: float | None
    correlation: float | None

    @property
    def equal_share(self) -> float:
        """Of the points, those with the same value, from 0 to 1."""
        return self.n_equal / self.n_points


class ViewReport(Frozen):
    """A report of differences: two versions of a view on the same points, as they were then.

    It is about these definitions alone: ``old_digest`` and ``new_digest`` are those of the views'
    plans. ``read_versions`` are the versions of the events tables that values were computed from.
    """

    old: str
    old_digest: str
    new: str
    new_digest: str
    at_ms: int
    n_points: int = Field(ge=1)
    read_versions: dict[str, int]
    differences: tuple[Difference, ...]
    only_in_old: tuple[str, ...] = ()
    only_in_new: tuple[str, ...] = ()

    def is_about(self, view: ViewPlan) -> bool:
        """Whether its new version is this view, as it is defined here."""
        return (self.new, self.new_digest) == (view.name, view.digest)

    @property
    def changed(self) -> tuple[Difference, ...]:
        """Features that differ at any point, those that differ at most points first."""
        return tuple(each for each in self.differences if each.n_equal < each.n_points)

    def sentence(self) -> str:
        """What it comes to, in one line.

        Examples
        --------
        >>> same = differences({"count_1d": np.array([1.0, 2.0])}, {"count_1d": np.array([1.0, 3])})
        >>> ViewReport(old="card_v1", old_digest="", new="card_v2", new_digest="", at_ms=0,
        ...     n_points=2, read_versions={}, differences=same, only_in_new=("sum_1d",)).sentence()
        'card_v2 beside card_v1 on 2 points: 1 of 1 common features differ, most of all count_1d \
(50.0% of points); new: sum_1d'
        """
        head = f"{self.new} beside {self.old} on {self.n_points:,} points: "
        parts = [f"{len(self.changed)} of {len(self.differences)} common features differ"]
        if self.changed:
            most = self.changed[0]
            parts[0] += f", most of all {most.feature} ({1 - most.equal_share:.1%} of points)"
        parts += [f"new: {', '.join(self.only_in_new)}"] if self.only_in_new else []
        parts += [f"gone: {', '.join(self.only_in_old)}"] if self.only_in_old else []
        return head + "; ".join(parts)


def features_of_one(one: ViewPlan, other: ViewPlan) -> tuple[str, ...]:
    """Features of a view that another version of it lacks."""
    return tuple(name for name in one.feature_names if name not in other.feature_names)


def differences(
    before: Mapping[str, FloatArray], after: Mapping[str, FloatArray]
) -> tuple[Difference, ...]:
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
    return tuple(sorted(found, key=lambda each: (each.n_equal - each.n_points, each.feature)))


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
        mean_before=float(before[was].mean()) if was.any() else None,
        mean_after=float(after[came].mean()) if came.any() else None,
        correlation=_correlation(old, new),
    )


def _correlation(one: FloatArray, other: FloatArray) -> float | None:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])
