"""The same metrics on parts of the test set: weeks, declared categories, the unknown.

A number over all rows hides a group for which the model is no good. Slices come from the
declaration alone: categories of attributes in the vector, entities without history, and
time. Small slices are left out, because their numbers would only be noise.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from core.clock import DAY_MS, event_date
from core.features.plan import Frozen, Plan
from training.examples import Part
from training.metrics import area_under_roc, average_precision, calibration_error, ranked

WEEK_MS = 7 * DAY_MS
MIN_ROWS = 100
MIN_POSITIVE = 5
MAX_CATEGORIES = 12

Mask = NDArray[np.bool_]


class Slice(Frozen):
    """Metrics of one part of the test set."""

    name: str
    n_rows: int
    n_positive: int
    auc: float
    average_precision: float
    ece: float


def slices_of(plan: Plan, part: Part, scores: NDArray[np.floating]) -> tuple[Slice, ...]:
    """Metrics of every slice with at least 100 rows and 5 of each class."""
    found = []
    for name, mask in [*_weeks(part), *_categories(plan, part), *_histories(plan, part)]:
        labels = part.labels[mask]
        n_positive = int(labels.sum())
        if len(labels) < MIN_ROWS or min(n_positive, len(labels) - n_positive) < MIN_POSITIVE:
            continue
        rows = ranked(scores[mask], labels, part.weights[mask])
        found.append(
            Slice(
                name=name,
                n_rows=len(labels),
                n_positive=n_positive,
                auc=area_under_roc(rows),
                average_precision=average_precision(rows),
                ece=calibration_error(rows),
            )
        )
    return tuple(found)


def _weeks(part: Part) -> Iterator[tuple[str, Mask]]:
    start = int(part.at_ms.min()) // DAY_MS * DAY_MS
    week = (part.at_ms - start) // WEEK_MS
    for number in range(int(week.max()) + 1):
        yield f"week from {event_date(start + number * WEEK_MS)}", week == number


def _categories(plan: Plan, part: Part) -> Iterator[tuple[str, Mask]]:
    for view in plan.views:
        for attribute in view.attributes:
            name = f"{view.name}:{attribute.name}"
            if name not in plan.vector:
                continue
            column = part.vectors[:, plan.vector.index(name)]
            for index, category in enumerate(attribute.categories[:MAX_CATEGORIES]):
                yield f"{name} = {category}", column == index


def _histories(plan: Plan, part: Part) -> Iterator[tuple[str, Mask]]:
    """Points whose widest counted window of a view is empty, and the others."""
    for view in plan.views:
        counts = [w for w in view.windows if w.function == "count"]
        held = [w for w in counts if f"{view.name}:{w.name}" in plan.vector]
        if not held:
            continue
        widest = max(held, key=lambda window: window.window_ms)
        column = part.vectors[:, plan.vector.index(f"{view.name}:{widest.name}")]
        yield f"{view.entity} without history in {view.name}", column == 0
        yield f"{view.entity} with history in {view.name}", column > 0
