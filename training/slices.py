"""Parts of the test set that are measured apart: weeks, declared categories, the unknown.

Slices come from the
declaration alone: categories of attributes in the vector, entities without history, and
time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from core.clock import DAY_MS, event_date
from core.features.plan import Plan
from core.stats.slices import Mask, Slice, measured_slices
from training.examples import Part

WEEK_MS = 7 * DAY_MS
MAX_CATEGORIES = 12


def slices_of(plan: Plan, part: Part, scores: NDArray[np.floating]) -> tuple[Slice, ...]:
    """Metrics of every slice with at least 100 rows and 5 of each class."""
    return measured_slices(slice_masks(plan, part), part.labels, scores, part.weights)


def slice_masks(plan: Plan, part: Part) -> list[tuple[str, Mask]]:
    """Name of each slice, and which rows are in it."""
    return [*_weeks(part), *_categories(plan, part), *_histories(plan, part)]


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
