"""Statistics of tables and training sets that decide whether work may go on.

Pure functions of arrays. Each returns the numbers and leaves the verdict to a comparison
with a limit that is written down beside it, so that a check can show both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.features.plan import Plan, ViewPlan

MAX_NULL_SHARE = 0.10
MAX_SINGLE_FEATURE_AUC = 0.98
MIN_PER_CLASS = 10
COUNT = "count"

Column = NDArray[np.float64]


def null_share(values: Column, expected: NDArray[np.bool_] | None = None) -> float:
    """Share of nulls (NaN) among the rows where a value is expected.

    Parameters
    ----------
    values
        Shape ``(n,)``.
    expected
        Shape ``(n,)``; rows that should have a value. All when None.

    Returns
    -------
    float
        In ``[0, 1]``; 0 when no row is expected to have a value.

    Examples
    --------
    >>> values = np.array([1.0, np.nan, np.nan, 2.0])
    >>> null_share(values), null_share(values, np.array([True, False, True, True]))
    (0.5, 0.3333333333333333)
    """
    looked_at = values if expected is None else values[expected]
    return float(np.isnan(looked_at).mean()) if len(looked_at) else 0.0


def count_beside(view: ViewPlan, feature: str) -> str | None:
    """Name of the count over the same column and window as a window feature of ``view``.

    A mean, minimum, maximum, last value or deviation is null where nothing was counted, and
    that is right. None when ``feature`` is never null, or when no such count is declared.

    Examples
    --------
    >>> from core.features.plan import WindowFeature
    >>> shared = {"column": "x", "window_ms": 60_000, "grid_ms": 10_000}
    >>> view = ViewPlan(name="v", entity="e", join_keys=("k",), source="s",
    ...     columns={"x": "int64"}, windows=(
    ...     WindowFeature(name="x_count_1m", function="count", **shared),
    ...     WindowFeature(name="x_mean_1m", function="mean", **shared)))
    >>> count_beside(view, "x_mean_1m"), count_beside(view, "x_count_1m")
    ('x_count_1m', None)
    """
    by_name = {window.name: window for window in view.windows}
    asked = by_name[feature]
    if asked.function in {COUNT, "sum", "count_distinct"}:
        return None
    for window in view.windows:
        same = (window.column, window.window_ms) == (asked.column, asked.window_ms)
        if window.function == COUNT and same:
            return window.name
    return None


def unexplained_null_shares(plan: Plan, columns: Mapping[str, Column]) -> dict[str, float]:
    """Null share of every feature of the vector that ought to have a value.

    Attributes ought to have one everywhere; a window ought to where its count is positive,
    and is left out when the vector holds no such count. Transforms are left out: what they
    are made of is looked at instead.

    Parameters
    ----------
    plan
        The plan whose vector the columns are.
    columns
        Values by qualified name, shape ``(n,)`` each.

    Returns
    -------
    dict
        Share by qualified name, for the features that were looked at.
    """
    shares: dict[str, float] = {}
    views = {view.name: view for view in plan.views}
    for entry in plan.vector:
        view_name, _, feature = entry.partition(":")
        view = views.get(view_name)
        if view is None:
            continue
        if view.attributes:
            shares[entry] = null_share(columns[entry])
            continue
        counted = count_beside(view, feature)
        beside = columns.get(f"{view_name}:{counted}") if counted else None
        if beside is not None:
            shares[entry] = null_share(columns[entry], beside > 0)
    return shares


def repeated(ids: Sequence[str]) -> int:
    """Rows whose id another row before them has.

    Examples
    --------
    >>> repeated(["a", "b", "a", "a"])
    2
    """
    return len(ids) - len(set(ids))


def constant_columns(columns: Mapping[str, Column]) -> tuple[str, ...]:
    """Names of the columns that say the same of every row; null is a value here.

    Examples
    --------
    >>> constant_columns({"a": np.array([1.0, 1.0]), "b": np.array([1.0, np.nan])})
    ('a',)
    """
    return tuple(name for name, values in columns.items() if _is_constant(values))


def _is_constant(values: Column) -> bool:
    is_null = np.isnan(values)
    if is_null.any():
        return bool(is_null.all())
    return len(values) == 0 or bool((values == values[0]).all())


def class_counts(
    labels: NDArray[np.integer], parts: NDArray[np.str_]
) -> dict[str, tuple[int, int]]:
    """Negatives and positives of each part of a training set.

    Examples
    --------
    >>> class_counts(np.array([0, 1, 1]), np.array(["train", "train", "test"]))
    {'test': (0, 1), 'train': (1, 1)}
    """
    counts = {}
    for part in sorted(set(parts.tolist())):
        inside = labels[parts == part]
        positives = int((inside == 1).sum())
        counts[str(part)] = (len(inside) - positives, positives)
    return counts


def single_feature_auc(values: Column, labels: NDArray[np.integer]) -> float:
    """How well one feature alone tells the classes apart, whichever way it points.

    The area under the ROC curve by ranks (the Mann-Whitney statistic), ties by half; null
    counts as the least value, because a feature may leak by being there at all. The greater
    of the area and its complement.

    Parameters
    ----------
    values, labels
        Shape ``(n,)``; labels 0 or 1.

    Returns
    -------
    float
        In ``[0.5, 1]``: 0.5 says nothing, 1 separates the classes.

    Raises
    ------
    InvalidInputError
        If one of the classes is absent.

    References
    ----------
    Mann & Whitney (1947), "On a test of whether one of two random variables is
    stochastically larger than the other", Ann. Math. Statist. 18(1), 50-60.

    Examples
    --------
    >>> single_feature_auc(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 1, 0, 0]))
    1.0
    >>> single_feature_auc(np.array([5.0, 5.0, 5.0]), np.array([0, 1, 0]))
    0.5
    """
    n_positive = int((labels == 1).sum())
    n_negative = len(labels) - n_positive
    if not (n_positive and n_negative):
        raise InvalidInputError(
            "one class alone cannot be told from another",
            found=f"{n_positive} positives, {n_negative} negatives",
            remedy="take a part with both classes",
        )
    ranks = _average_ranks(np.where(np.isnan(values), -np.inf, values))
    above = ranks[labels == 1].sum() - n_positive * (n_positive + 1) / 2
    area = float(above / (n_positive * n_negative))
    return max(area, 1.0 - area)


def _average_ranks(values: Column) -> Column:
    """Ranks from 1, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank = last - (counts - 1) / 2
    ranks: Column = mean_rank[inverse]
    return ranks


@dataclass(frozen=True)
class Leak:
    """The feature that tells the classes apart best, and how well."""

    feature: str
    auc: float


def strongest_feature(columns: Mapping[str, Column], labels: NDArray[np.integer]) -> Leak:
    """Single feature with the greatest AUC; a leak when it reaches the limit.

    Examples
    --------
    >>> columns = {"a": np.array([0.0, 1.0, 0.0]), "b": np.array([0.0, 1.0, 1.0])}
    >>> strongest_feature(columns, np.array([0, 1, 1]))
    Leak(feature='b', auc=1.0)
    """
    aucs = {name: single_feature_auc(values, labels) for name, values in columns.items()}
    best = max(aucs, key=lambda name: aucs[name])
    return Leak(best, aucs[best])


def unequal(expected: Column, actual: Column) -> int:
    """Rows where two columns differ after the one cast to float32; null equals null.

    Examples
    --------
    >>> unequal(np.array([1.0, np.nan, 2.0]), np.array([1.0 + 1e-12, np.nan, np.nan]))
    1
    """
    a, b = expected.astype(np.float32), actual.astype(np.float32)
    return int((~((a == b) | (np.isnan(a) & np.isnan(b)))).sum())
