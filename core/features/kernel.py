"""Point-in-time values of a view over arrays: all points, all features, in O(rows + points).

Rows and points are ordered once by (entity, time). One pointer walk a window then gives each
point its rows, shared by every feature of that window; counts and integer sums are
differences of running totals, float sums and extremes slide, distinct counts keep their
registers, the latest row is looked up. Rows that a point may not know yet stand at the
end of its entity's rows (see `core.features.kernel_order.settled_stops`) and are looked at
one by one. `core.features.oracle` says what the answers mean; this module is proved against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.errors import ConfigurationError, InvalidInputError
from core.features import kernel_order, kernel_prefix
from core.features.arrays import Codes, Column, FloatArray, IntArray, Points, Rows
from core.features.kernel_cells import Cell, OrderedColumn, Span, taken
from core.features.kernel_order import Indices
from core.features.plan import ViewPlan
from core.features.windows import window_start_ms

__all__ = ["Column", "Points", "Rows", "view_values"]

_NEVER_MS = np.iinfo(np.int64).min
_MOST_ROWS = np.iinfo(np.int32).max
_ORDER_MATTERS = frozenset({"last"})


@dataclass(frozen=True)
class _Timeline:
    """Rows or points ordered by (entity, time).

    ``order`` holds original indices; ``starts`` where each entity starts; ``time_ms`` and
    ``known`` are in that order.
    """

    order: Indices
    starts: IntArray
    time_ms: IntArray
    known: IntArray


def view_values(view: ViewPlan, rows: Rows, points: Points) -> dict[str, FloatArray]:
    """Values of all features of ``view`` at every point; NaN is null.

    Parameters
    ----------
    view
        What to compute.
    rows, points
        See `core.features.arrays`. Both may be in any order, and empty.

    Returns
    -------
    dict
        Feature name to float64 values in the order of ``points``.

    Raises
    ------
    InvalidInputError
        If a row has a negative entity code or there are 2**31 rows or more.
    ConfigurationError
        If a feature asks a text column for arithmetic.

    Examples
    --------
    >>> from core.features.plan import WindowFeature
    >>> view = ViewPlan(name="v", entity="card", join_keys=("card",), source="s",
    ...     columns={"x": "int64"}, windows=(WindowFeature(name="x_sum_1m", function="sum",
    ...     column="x", window_ms=60_000, grid_ms=10_000),))
    >>> zeros, times = np.zeros(2, np.int64), np.array([0, 5])
    >>> rows = Rows(zeros, times, times, None, {"x": Column(np.array([2, 3]))})
    >>> points = Points(np.array([0, 0, -1]), np.array([6, 5, 6]), np.array([6, 5, 6]))
    >>> view_values(view, rows, points)["x_sum_1m"].tolist()
    [5.0, 2.0, 0.0]
    """
    _check(view, rows)
    n_entities = 1 + max(int(rows.entity.max(initial=-1)), int(points.entity.max(initial=-1)))
    ordered_rows = _ordered_rows(view, rows, n_entities)
    columns = rows.columns
    del rows  # where the caller keeps no reference, the unordered arrays go now
    # Entities that no row has come last, so that unknown points walk over nothing.
    codes = np.where(points.entity < 0, n_entities, points.entity)
    ordered_points = _ordered(codes, points.at_ms, points.known, n_entities + 1)
    settled = kernel_order.settled_stops(
        ordered_rows.known, ordered_rows.starts, ordered_points.known, ordered_points.starts
    )
    values = (
        _window_features(view, columns, ordered_rows, ordered_points, settled)
        if view.windows
        else _attribute_features(view, columns, ordered_rows, ordered_points, settled)
    )
    return {name: values[name] for name in view.feature_names}


def _check(view: ViewPlan, rows: Rows) -> None:
    if len(rows.entity) > _MOST_ROWS:
        raise InvalidInputError(
            "too many rows for one call",
            found=f"{len(rows.entity)} rows",
            remedy="partition them by entity and call once a partition",
        )
    if len(rows.entity) and int(rows.entity.min()) < 0:
        raise InvalidInputError(
            "a row has a negative entity code",
            found=str(int(rows.entity.min())),
            remedy="leave rows of unknown entities out",
        )
    for window in view.windows:
        is_counter = window.function in ("count", "count_distinct")
        if view.columns[window.column] == "string" and not is_counter:
            raise ConfigurationError(
                f"{view.name}:{window.name} does arithmetic on text",
                found=f"{window.function} of the string column {window.column}",
                remedy="use count or count_distinct",
            )


# --- ordering -----------------------------------------------------------------------------


def _ordered(codes: Codes, time_ms: IntArray, known: IntArray, n_groups: int) -> _Timeline:
    narrow = np.ascontiguousarray(codes, np.int32)
    starts = kernel_order.group_starts(narrow, n_groups)
    order = kernel_order.grouped(narrow, starts)
    ordered_ms = kernel_order.gathered(time_ms, order)
    kernel_order.sort_groups(order, ordered_ms, starts)
    return _Timeline(order, starts, ordered_ms, kernel_order.gathered(known, order))


def _ordered_rows(view: ViewPlan, rows: Rows, n_entities: int) -> _Timeline:
    """Rows by entity and time, with one empty entity at the end for unknown points."""
    timeline = _ordered(rows.entity, rows.event_ms, rows.known, n_entities + 1)
    if view.attributes or any(w.function in _ORDER_MATTERS for w in view.windows):
        places, runs = kernel_order.tied_runs(timeline.time_ms, timeline.starts)
        tied = timeline.order[places]
        ranks = rows.tie_ranks(tied.astype(np.int64))
        by_rank = np.lexsort((ranks, runs))
        timeline.order[places] = tied[by_rank]
        timeline.known[places] = rows.known[timeline.order[places]]
    return timeline


def _first_rows(rows: _Timeline, points: _Timeline, threshold_ms: IntArray) -> Indices:
    """For each ordered point the first row at or after its threshold."""
    return kernel_order.first_at_least(rows.time_ms, rows.starts, threshold_ms, points.starts)


def _in_point_order(points: _Timeline, values: FloatArray) -> FloatArray:
    out = np.empty(len(values))
    out[points.order] = values
    return out + 0.0  # never minus zero


# --- features -----------------------------------------------------------------------------


def _window_features(
    view: ViewPlan,
    columns: Mapping[str, Column],
    timeline: _Timeline,
    points: _Timeline,
    settled: Indices,
) -> dict[str, FloatArray]:
    spans: dict[tuple[int, int], Span] = {}
    stop = _first_rows(timeline, points, points.time_ms)
    for window_ms, grid_ms in {(w.window_ms, w.grid_ms) for w in view.windows}:
        start_ms = window_start_ms(points.time_ms, window_ms, grid_ms)
        start = _first_rows(timeline, points, start_ms)
        spans[window_ms, grid_ms] = Span(start, settled, stop, timeline.known, points.known)
    values: dict[str, FloatArray] = {}
    for name in dict.fromkeys(w.column for w in view.windows):
        column = OrderedColumn(columns[name], timeline.order, view.columns[name])
        for key, span in spans.items():
            cell = Cell(column, span)
            for window in view.windows:
                if window.column == name and (window.window_ms, window.grid_ms) == key:
                    values[window.name] = _in_point_order(points, cell.answers(window))
    return values


def _attribute_features(
    view: ViewPlan,
    columns: Mapping[str, Column],
    timeline: _Timeline,
    points: _Timeline,
    settled: Indices,
) -> dict[str, FloatArray]:
    """Columns of the row in force: the latest known one, no older than the ttl."""
    oldest_ms = np.full(len(points.time_ms), _NEVER_MS)
    if view.ttl_ms is not None:
        oldest_ms = points.time_ms - view.ttl_ms
    start = _first_rows(timeline, points, oldest_ms)
    stop = _first_rows(timeline, points, points.time_ms + 1)
    is_row = np.ones(len(timeline.order), np.bool_)
    in_force = kernel_prefix.latest_rows(is_row, start, settled, stop, timeline.known, points.known)
    has_row = in_force >= 0
    in_force[has_row] = timeline.order[in_force[has_row]]
    values: dict[str, FloatArray] = {}
    for attribute in view.attributes:
        column = columns[attribute.column]
        found = taken(column.values, in_force)
        if column.valid is not None:
            found[has_row] = np.where(column.valid[in_force[has_row]], found[has_row], np.nan)
        values[attribute.name] = _in_point_order(points, found)
    return values
