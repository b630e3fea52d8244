"""The same metrics on parts of the rows: a number over all of them hides a group that fares ill.

Small parts are left out, because their numbers would only be noise.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from core.features.plan import Frozen
from core.stats.metrics import (
    area_under_roc,
    auc_interval,
    average_precision,
    calibration_error,
    ranked,
)

MIN_ROWS = 100
MIN_POSITIVE = 5

Mask = NDArray[np.bool_]


class Slice(Frozen):
    """Metrics of one part of the rows.

    ``auc_interval`` is the 95 % interval of ``auc``; None where the part tells none, and in
    reports from before it was put down.
    """

    name: str
    n_rows: int
    n_positive: int
    auc: float
    auc_interval: tuple[float, float] | None = None
    average_precision: float
    ece: float


def measured_slices(
    masks: Iterable[tuple[str, Mask]],
    labels: NDArray[np.integer],
    scores: NDArray[np.floating],
    weights: NDArray[np.float64],
) -> tuple[Slice, ...]:
    """Metrics of every part with at least 100 rows and 5 of each class.

    Parameters
    ----------
    masks
        Name of each part, and which rows are in it; parts may overlap.
    labels, scores, weights
        Shape ``(n,)``.

    Examples
    --------
    >>> labels = np.arange(200) % 2
    >>> masks = [("all", labels >= 0), ("few", np.arange(200) < 50)]
    >>> found = measured_slices(masks, labels, labels / 2, np.ones(200))
    >>> [(part.name, part.n_rows, part.auc) for part in found]
    [('all', 200, 1.0)]
    """
    found = []
    for name, mask in masks:
        held = labels[mask]
        n_positive = int(held.sum())
        if len(held) < MIN_ROWS or min(n_positive, len(held) - n_positive) < MIN_POSITIVE:
            continue
        rows = ranked(scores[mask], held, weights[mask])
        found.append(
            Slice(
                name=name,
                n_rows=len(held),
                n_positive=n_positive,
                auc=area_under_roc(rows),
                auc_interval=auc_interval(rows),
                average_precision=average_precision(rows),
                ece=calibration_error(rows),
            )
        )
    return tuple(found)
