"""Reliability: whether of the rows that are given a score of about 20 %, 20 % are positive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.stats.metrics import ECE_BINS, Ranked
from core.stats.tails import wilson_interval

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram's points: one a bin of equally many rows, highest scores first.

    ``low`` and ``high`` are the 95 % interval of each share of positives. A calibrated model
    leaves its score outside of them in one bin of twenty.
    """

    weight: Array
    score: Array
    share: Array
    low: Array
    high: Array

    @property
    def error(self) -> float:
        """Expected calibration error: mean of ``|share - score|`` by weight."""
        return float(np.average(np.abs(self.share - self.score), weights=self.weight))

    @property
    def is_off(self) -> NDArray[np.bool_]:
        """Bins whose mean score lies outside of the interval of their share."""
        return np.asarray((self.score < self.low) | (self.score > self.high))


def reliability(rows: Ranked) -> Reliability:
    """Reliability of scores, over the bins of `core.stats.metrics.calibration_error`.

    Intervals take weights for counts, so they hold for rows of weight one; those of rows that
    go together (many of one entity) are too narrow.

    Examples
    --------
    >>> from core.stats.metrics import ranked
    >>> half = ranked(np.full(300, 0.5), np.arange(300) % 2)
    >>> reliability(half).error, bool(reliability(half).is_off.any())
    (0.0, False)
    """
    weight: Array = np.bincount(rows.bins, rows.weights, minlength=ECE_BINS).astype(np.float64)
    is_held = weight > 0
    weight = weight[is_held]
    positive, score = (
        np.bincount(rows.bins, rows.weights * values, minlength=ECE_BINS)[is_held]
        for values in (rows.labels, rows.scores)
    )
    low, high = wilson_interval(positive, weight)
    return Reliability(weight, score / weight, positive / weight, low, high)
