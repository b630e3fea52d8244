"""How good scores are: ranking, probabilities and decisions, each with an interval.

Ties in the score are one point of every curve, as they are in a decision. Rows carry
weights. Intervals are percentiles of a Poisson bootstrap: each row counts Poisson(1)
times, which on sorted scores costs a few cumulative sums a resample.

References
----------
Chamandy, Muralidharan, Najmi & Naidu (2012), "Estimating uncertainty for massive data
streams", Google technical report (the Poisson bootstrap).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.features.plan import Frozen

RESAMPLES = 200
ECE_BINS = 15
SMALLEST = 1e-7  # a probability of zero has an infinite log loss; float32 resolves about this

Array = NDArray[np.float64]


class Estimate(Frozen):
    """A measured number with its bootstrap interval (95 %)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Ranked:
    """Scores from high to low. ``last`` are the positions that end a run of equal scores."""

    scores: Array
    labels: Array
    weights: Array
    last: NDArray[np.int64]
    bins: NDArray[np.int64]

    def reweighted(self, counts: Array) -> Ranked:
        """Each row counted ``counts`` times more."""
        return Ranked(self.scores, self.labels, self.weights * counts, self.last, self.bins)


def ranked(
    scores: NDArray[np.floating], labels: NDArray[np.integer], weights: Array | None = None
) -> Ranked:
    """Rank rows by score; all arrays of shape ``(n,)``."""
    exact = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-exact, kind="stable")
    by_rank = exact[order]
    last = np.flatnonzero(np.append(np.diff(by_rank) != 0, True))
    weight = np.ones(len(exact)) if weights is None else np.asarray(weights, dtype=np.float64)
    bins = np.minimum(np.arange(len(exact)) * ECE_BINS // max(len(exact), 1), ECE_BINS - 1)
    return Ranked(by_rank, np.asarray(labels)[order].astype(np.float64), weight[order], last, bins)


def _curve(rows: Ranked) -> tuple[Array, Array]:
    positive = np.cumsum(rows.weights * rows.labels)[rows.last]
    negative = np.cumsum(rows.weights * (1 - rows.labels))[rows.last]
    return positive, negative


def roc_curve(rows: Ranked) -> tuple[Array, Array]:
    """False and true positive rates as the threshold falls, from (0, 0) to (1, 1)."""
    positive, negative = _curve(rows)
    start = np.zeros(1)
    return (
        np.concatenate([start, negative / negative[-1]]),
        np.concatenate([start, positive / positive[-1]]),
    )


def precision_recall_curve(rows: Ranked) -> tuple[Array, Array]:
    """Precision and recall as the threshold falls."""
    positive, negative = _curve(rows)
    taken = positive + negative
    precision = np.divide(positive, taken, out=np.ones_like(taken), where=taken > 0)
    return precision, positive / positive[-1]


def area_under_roc(rows: Ranked) -> float:
    """Chance that a positive outranks a negative; ties count half. 0.5 is no skill."""
    false_rate, true_rate = roc_curve(rows)
    return float(np.trapezoid(true_rate, false_rate))


def auc_interval(rows: Ranked, z: float = 1.959964) -> tuple[float, float] | None:
    """Interval of `area_under_roc`, 95 % unless ``z`` says otherwise; quick, nothing is drawn.

    A row's placement is the share of the other class that it is ranked right against. The area is
    the mean placement, so its variance is that of the placements of either class over how many
    rows the class has (weights count as in Kish's effective size). The interval is even on the
    scale of log odds, and so within (0, 1). Like a bootstrap of rows it ignores that rows of one
    entity go together.

    Returns
    -------
    tuple of float or None
        None where a class has fewer than two rows, or the classes are told apart without a
        fault: then there is nothing to estimate a variance from.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson (1988), "Comparing the areas under two or more correlated
    receiver operating characteristic curves", Biometrics 44(3), 837-845.

    Examples
    --------
    >>> labels, scores = np.array([1, 1, 0, 1, 0, 0]), np.arange(6)[::-1] / 6
    >>> low, high = auc_interval(ranked(scores, labels))
    >>> round(low, 3), round(high, 3)
    (0.261, 0.995)
    >>> auc_interval(ranked(scores, np.array([1, 1, 1, 0, 0, 0]))) is None
    True
    """
    area = area_under_roc(rows)
    if not 0.0 < area < 1.0:
        return None
    variance = 0.0
    for label in (1.0, 0.0):
        weights = rows.weights * (rows.labels == label)
        size = weights.sum() ** 2 / np.sum(weights**2)
        if size <= 1.0:
            return None
        spread = np.average((_placements(rows, label) - area) ** 2, weights=weights)
        variance += float(spread / (size - 1.0))
    middle = np.log(area / (1 - area))
    reach = z * np.sqrt(variance) / (area * (1 - area))
    low, high = 1 / (1 + np.exp(-(middle + np.array([-reach, reach]))))
    return float(low), float(high)


def _placements(rows: Ranked, label: float) -> Array:
    """Share of the other class that each row would be ranked right against; ties count half."""
    other = rows.weights * (rows.labels != label)
    behind = np.cumsum(other)[rows.last]
    before = np.concatenate([np.zeros(1), behind[:-1]])
    is_above = (before + behind) / 2 / behind[-1]
    runs = np.diff(rows.last, prepend=-1)
    return np.repeat(1 - is_above if label else is_above, runs)


def average_precision(rows: Ranked) -> float:
    """``sum((R_k - R_(k-1)) * P_k)``: no skill is the share of positives."""
    precision, recall = precision_recall_curve(rows)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def log_loss(rows: Ranked) -> float:
    """Mean negative log likelihood, in nats."""
    p = np.clip(rows.scores, SMALLEST, 1 - SMALLEST)
    loss = -(rows.labels * np.log(p) + (1 - rows.labels) * np.log1p(-p))
    return float(np.average(loss, weights=rows.weights))


def brier_score(rows: Ranked) -> float:
    """Mean squared difference of score and label."""
    return float(np.average((rows.scores - rows.labels) ** 2, weights=rows.weights))


def calibration_error(rows: Ranked) -> float:
    """Expected calibration error over 15 bins of equal count.

    Mean of ``|share of positives - mean score|`` weighted by bin. Biased upwards on small
    parts; compare only parts of similar size.
    """
    weight = np.bincount(rows.bins, rows.weights, minlength=ECE_BINS)
    gap = np.bincount(rows.bins, rows.weights * (rows.labels - rows.scores), minlength=ECE_BINS)
    return float(np.abs(gap).sum() / weight.sum())


def recall_at_precision(rows: Ranked, floor: float) -> float:
    """Largest recall at which precision is at least ``floor``; 0 when it never is."""
    precision, recall = precision_recall_curve(rows)
    return float(np.max(recall[precision >= floor], initial=0.0))


METRICS: dict[str, Callable[[Ranked], float]] = {
    "auc": area_under_roc,
    "average_precision": average_precision,
    "log_loss": log_loss,
    "brier": brier_score,
    "ece": calibration_error,
    "recall_at_precision_50": lambda rows: recall_at_precision(rows, 0.5),
    "recall_at_precision_90": lambda rows: recall_at_precision(rows, 0.9),
}


def estimates(rows: Ranked, seed: int, resamples: int = RESAMPLES) -> dict[str, Estimate]:
    """Every metric with the 95 % interval of a Poisson bootstrap.

    A resample that lost a class says nothing about ranking and is left out. Intervals
    ignore that rows of one entity go together, so they are too narrow where few entities
    make most of the rows.
    """
    generator = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {name: [] for name in METRICS}
    for _ in range(resamples):
        again = rows.reweighted(generator.poisson(1.0, len(rows.scores)).astype(np.float64))
        share = np.average(again.labels, weights=again.weights) if again.weights.any() else 0.0
        if 0.0 < share < 1.0:
            for name, metric in METRICS.items():
                draws[name].append(metric(again))
    return {name: _estimate(metric(rows), draws[name]) for name, metric in METRICS.items()}


def decision_rates(
    decisions: Sequence[str],
    made: NDArray[np.str_],
    labels: NDArray[np.integer],
    weights: NDArray[np.float64],
) -> dict[str, dict[str, float]]:
    """For each decision: its share of rows, its precision and the recall of positives in it.

    ``made`` is the decision on each row; all arrays have shape ``(n,)``.
    """
    rates = {}
    for decision in decisions:
        weight = weights * (made == decision)
        positive = float(np.sum(weight * labels))
        taken = float(np.sum(weight))
        rates[decision] = {
            "share": taken / float(np.sum(weights)),
            "precision": positive / taken if taken > 0 else 0.0,
            "recall": positive / float(np.sum(weights * labels)),
        }
    return rates


def _estimate(value: float, draws: list[float]) -> Estimate:
    if not draws:
        return Estimate(value=value, low=value, high=value)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(value=value, low=float(low), high=float(high))
