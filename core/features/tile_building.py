"""Tiles from rows: numpy alone, all grids of a view, whole intervals at a time.

Reproducible: the same rows in any order give the same tiles, bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.features import hll, segments, sums
from core.features.arrays import BoolArray, Column, FloatArray, IntArray, Rows
from core.features.partials import Field, Kind, Slot, keeps_ties, slots
from core.features.plan import ViewPlan
from core.features.windows import tile_start_ms

Array = NDArray[Any]
TileArrays = Mapping[str, Array]
"""Columns of tiles: entity (codes), grid_ms, tile_start_ms, then those of `tile_columns`."""

NEWEST = "newest_ms"
_DTYPES = {"int64": np.int64, "float64": np.float64, "binary": object}


def tile_columns(view: ViewPlan) -> tuple[tuple[str, str], ...]:
    """Names and types (int64, float64, binary) of a tiles table's columns after its keys.

    Examples
    --------
    >>> from core.features.plan import WindowFeature
    >>> view = ViewPlan(name="v", entity="card", join_keys=("card",), source="s",
    ...     columns={"x": "int64"}, windows=(WindowFeature(name="x_mean_1m", function="mean",
    ...     column="x", window_ms=60_000, grid_ms=10_000),))
    >>> tile_columns(view)
    (('newest_ms', 'int64'), ('x__count', 'int64'), ('x__sum', 'int64'))
    """
    fields = tuple((field.name, field.type) for field in _fields(view))
    return ((NEWEST, "int64"), *fields)


def _fields(view: ViewPlan) -> tuple[Field, ...]:
    return tuple(field for slot in slots(view) for field in slot.fields)


@dataclass(frozen=True)
class _Sorted:
    """Rows in order of entity, time and ties, with the runs that are tiles of one grid."""

    rows: Rows
    order: IntArray
    event_ms: IntArray
    event_ids: Array | None
    starts: IntArray

    def cells(self, column: str) -> tuple[Array, BoolArray]:
        """Values of a column in order, and where they are there."""
        return sorted_cells(self.rows.columns[column], self.order)


def sorted_cells(column: Column, order: IntArray) -> tuple[Array, BoolArray]:
    """Values of a column in ``order`` and where they are there; others are 0."""
    values = column.values[order]
    valid = np.ones(len(order), np.bool_) if column.valid is None else column.valid[order]
    if values.dtype == np.float64:
        valid = valid & np.isfinite(values)
    return np.where(valid, values, values.dtype.type(0)), valid


def build_tiles(view: ViewPlan, rows: Rows, event_ids: Array | None = None) -> dict[str, Array]:
    """Tiles of all grids of a view of windows.

    Parameters
    ----------
    view
        A view of windows.
    rows
        Rows of any dates, in any order; ``known`` is the availability. Give whole
        intervals of the greatest grid: a tile of half its rows is a wrong tile.
    event_ids
        UTF-8 bytes of each row's id, an object array; only read where the view has a last
        value, as is ``rows.tie``.

    Returns
    -------
    dict
        `TileArrays`, ordered by grid, entity and start.

    Raises
    ------
    InvalidInputError
        If the view has a last value and ids or ties were not given.
    """
    if keeps_ties(view) and (event_ids is None or rows.tie is None):
        raise InvalidInputError(
            f"tiles of view {view.name!r} need the order of ties",
            remedy="give event_ids and rows.tie: the view has a last value",
        )
    keys = [rows.event_ms, rows.entity]
    if keeps_ties(view):
        keys.insert(0, rows.tie_ranks(np.arange(len(rows.entity))))
    order = np.lexsort(keys)
    entity, event_ms = rows.entity[order], rows.event_ms[order]
    ids = None if event_ids is None else event_ids[order]
    parts = []
    for grid_ms in view.grids_ms:
        start_ms = tile_start_ms(event_ms, grid_ms)
        starts = segments.run_starts(entity, start_ms)
        ordered = _Sorted(rows, order, event_ms, ids, starts)
        parts.append(
            {
                "entity": entity[starts],
                "grid_ms": np.full(len(starts), grid_ms, np.int64),
                "tile_start_ms": start_ms[starts],
                NEWEST: event_ms[np.append(starts, len(order))[1:] - 1],
                **_slot_arrays(view, grid_ms, ordered),
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _slot_arrays(view: ViewPlan, grid_ms: int, ordered: _Sorted) -> dict[str, Array]:
    needed = set(slots(view, grid_ms))
    arrays: dict[str, Array] = {}
    for slot in slots(view):
        if slot in needed and len(ordered.starts):
            built = BUILDERS[slot.kind](slot, ordered)
        else:
            built = [_filled(field, len(ordered.starts)) for field in slot.fields]
        arrays |= {field.name: array for field, array in zip(slot.fields, built, strict=True)}
    return arrays


def _filled(field: Field, n: int) -> Array:
    array = np.empty(n, _DTYPES[field.type])
    array.fill(field.empty)
    return array


# One builder a kind of slot: the arrays of its fields, one member a run.


def _count(slot: Slot, ordered: _Sorted) -> list[Array]:
    _, valid = ordered.cells(slot.column)
    return [np.add.reduceat(valid.astype(np.int64), ordered.starts)]


def _sum(slot: Slot, ordered: _Sorted) -> list[Array]:
    values, _ = ordered.cells(slot.column)
    if not slot.is_float:
        return [np.add.reduceat(values, ordered.starts)]
    values = _canonical(values, ordered)
    return list(segments.pair_sums(values, np.zeros(len(values)), ordered.starts))


def _canonical(values: FloatArray, ordered: _Sorted) -> FloatArray:
    """Values of each tile in ascending order: ties in time may stand in any order otherwise."""
    lengths = segments.run_lengths(ordered.starts, len(values))
    runs = np.repeat(np.arange(len(lengths)), lengths)
    return values[np.lexsort((values, runs))]


def _min(slot: Slot, ordered: _Sorted) -> list[Array]:
    values, valid = ordered.cells(slot.column)
    filled = np.where(valid, values, values.dtype.type(slot.fields[0].empty))
    return [np.minimum.reduceat(filled, ordered.starts)]


def _max(slot: Slot, ordered: _Sorted) -> list[Array]:
    values, valid = ordered.cells(slot.column)
    filled = np.where(valid, values, values.dtype.type(slot.fields[0].empty))
    return [np.maximum.reduceat(filled, ordered.starts)]


def _last(slot: Slot, ordered: _Sorted) -> list[Array]:
    values, valid = ordered.cells(slot.column)
    last = segments.last_where(valid, ordered.starts)
    sources = (ordered.event_ms, ordered.rows.known[ordered.order], values, ordered.event_ids)
    arrays = [_filled(field, len(last)) for field in slot.fields]
    found = last >= 0
    for array, source in zip(arrays, sources, strict=True):
        if source is not None:
            array[found] = source[last[found]]
    return arrays


def _distinct(slot: Slot, ordered: _Sorted) -> list[Array]:
    values, valid = ordered.cells(slot.column)
    n_runs = len(ordered.starts)
    runs = np.repeat(np.arange(n_runs), segments.run_lengths(ordered.starts, len(values)))[valid]
    there = values[valid]
    hashes = there.view(np.uint64) if slot.is_text else hll.hash_numbers(there)
    runs, registers, ranks = segments.register_ranks(runs, *hll.registers_and_ranks(hashes))
    data = np.column_stack((registers, ranks)).tobytes()
    ends = 2 * np.cumsum(np.bincount(runs, minlength=n_runs))
    out = np.empty(n_runs, object)
    out[:] = [data[a:b] for a, b in zip([0, *ends.tolist()], ends.tolist(), strict=False)]
    return [out]


def _moments(slot: Slot, ordered: _Sorted) -> list[Array]:
    values, valid = ordered.cells(slot.column)
    distances = np.where(valid, values.astype(np.float64) - slot.centre, 0.0)
    distances = _canonical(distances, ordered)
    first = segments.pair_sums(distances, np.zeros(len(distances)), ordered.starts)
    return [*first, *segments.pair_sums(*sums.square(distances), ordered.starts)]


BUILDERS: dict[Kind, Callable[[Slot, _Sorted], list[Array]]] = {
    "count": _count,
    "sum": _sum,
    "min": _min,
    "max": _max,
    "last": _last,
    "distinct": _distinct,
    "moments": _moments,
}
