"""Base values: what batch writes online for each entity, from tiles and the last raw rows.

A base is cut at its *head*. Tiles hold the rows before it; rows from it on are raw, so that
any point from the head on can be answered. The tile that contains the head is built anew
from raw rows, because the one in the table may hold rows from after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from core.errors import InvalidInputError
from core.features.arrays import BoolArray, IntArray, Rows
from core.features.blob import BASE, Contents, codec_of
from core.features.fold import oldest_start_ms
from core.features.partials import RawRow, cell_columns, keeps_ties, slots
from core.features.plan import ViewPlan
from core.features.tile_building import NEWEST, Array, TileArrays, build_tiles, sorted_cells
from core.features.windows import tile_start_ms


def raw_from_ms(view: ViewPlan, head_ms: int) -> int:
    """First event time of the raw rows that `base_values` needs of a view of windows.

    Examples
    --------
    >>> from core.features.plan import WindowFeature
    >>> view = ViewPlan(name="v", entity="card", join_keys=("card",), source="s",
    ...     columns={"x": "int64"}, windows=(WindowFeature(name="x_sum_1m", function="sum",
    ...     column="x", window_ms=60_000, grid_ms=10_000),))
    >>> raw_from_ms(view, 25_000)
    20000
    """
    return min(tile_start_ms(head_ms, grid_ms) for grid_ms in view.grids_ms)


def base_values(
    view: ViewPlan,
    tiles: TileArrays | None,
    rows: Rows,
    keys: Sequence[bytes],
    *,
    epoch: int,
    head_ms: int,
    event_ids: Array | None = None,
) -> Iterator[tuple[bytes, bytes]]:
    """Entity key and base value of every entity that has a tile or a row.

    Parameters
    ----------
    view
        The view to write.
    tiles
        Windows: all tiles that are in a window at the head, built from the rows of every
        epoch up to ``epoch``; others are ignored. Entity codes are those of ``rows``.
        Attributes: None.
    rows
        Windows: all rows from `raw_from_ms` on. Attributes: all rows of the source. Rows of
        epochs up to ``epoch`` only; ``known`` is the availability.
    keys
        Entity key of each code.
    epoch
        Every row of the log up to this epoch is in the values; the promise a reader trusts.
    head_ms
        First instant the values can answer.
    event_ids
        UTF-8 bytes of each row's id, an object array; with ``rows.tie`` wherever the view
        has attributes or a last value.

    Raises
    ------
    InvalidInputError
        If ids or ties are needed and were not given.
    """
    if keeps_ties(view) and (event_ids is None or rows.tie is None):
        raise InvalidInputError(
            f"base values of view {view.name!r} need the order of ties",
            remedy="give event_ids and rows.tie: the view has attributes or a last value",
        )
    raw = _raw_rows(view, rows, head_ms, event_ids)
    contents: dict[int, Contents] = {}
    for code, row in raw:
        contents.setdefault(code, Contents(epoch, head_ms)).rows.append(row)
    if view.windows and tiles is not None:
        for part in (_closed(view, tiles, head_ms), _at_head(view, rows, head_ms, event_ids)):
            for code, grid_ms, start_ms, newest_ms, state in _states(view, part):
                held = contents.setdefault(code, Contents(epoch, head_ms))
                held.tiles.setdefault(grid_ms, {})[start_ms, 0] = state
                held.newest_ms = max(
                    newest_ms, newest_ms if held.newest_ms is None else held.newest_ms
                )
    codec = codec_of(view)
    for code, held in sorted(contents.items()):
        yield keys[code], codec.encode(BASE, held)


def _raw_rows(
    view: ViewPlan, rows: Rows, head_ms: int, event_ids: Array | None
) -> Iterator[tuple[int, RawRow]]:
    """Rows that stay raw, with their entity codes, in order of entity and recency."""
    ties = rows.tie_ranks(np.arange(len(rows.entity))) if keeps_ties(view) else None
    order = np.lexsort([*([] if ties is None else [ties]), rows.event_ms, rows.entity])
    if view.attributes:
        order = order[_in_force_and_later(rows.entity[order], rows.event_ms[order], head_ms)]
    else:
        order = order[rows.event_ms[order] >= head_ms]
    nothing = [0] * len(order)
    available = rows.known[order].tolist() if keeps_ties(view) else nothing
    ids = [b""] * len(order) if event_ids is None else event_ids[order].tolist()
    cells = []
    for column in cell_columns(view):
        values, valid = sorted_cells(rows.columns[column], order)
        there = zip(values.tolist(), valid.tolist(), strict=True)
        cells.append([value if is_valid else None for value, is_valid in there])
    events = rows.event_ms[order].tolist()
    raw = map(RawRow, events, available, ids, nothing, zip(*cells, strict=True))
    return zip(rows.entity[order].tolist(), raw, strict=True)


def _in_force_and_later(entity: IntArray, event_ms: IntArray, head_ms: int) -> BoolArray:
    """Of rows ordered by entity and recency: the last up to the head, and all after it."""
    is_past = event_ms <= head_ms
    has_successor = np.zeros(len(entity), np.bool_)
    has_successor[:-1] = (entity[1:] == entity[:-1]) & is_past[1:]
    return ~(is_past & has_successor)


def _closed(view: ViewPlan, tiles: TileArrays, head_ms: int) -> dict[str, Array]:
    """Tiles that end by the head and are still in a window there."""
    kept = np.zeros(len(tiles["entity"]), np.bool_)
    for grid_ms in view.grids_ms:
        starts_ms = tiles["tile_start_ms"]
        inside = (starts_ms >= oldest_start_ms(view, grid_ms, head_ms)) & (
            starts_ms + grid_ms <= head_ms
        )
        kept |= (tiles["grid_ms"] == grid_ms) & inside
    return {name: array[kept] for name, array in tiles.items()}


def _at_head(view: ViewPlan, rows: Rows, head_ms: int, event_ids: Array | None) -> dict[str, Array]:
    """Tiles that contain the head, of the rows before it."""
    recent = np.flatnonzero(
        (rows.event_ms >= raw_from_ms(view, head_ms)) & (rows.event_ms < head_ms)
    )
    picked = _picked(view, rows, recent)
    built = build_tiles(view, picked, None if event_ids is None else event_ids[recent])
    at_head = built["tile_start_ms"] == head_ms // built["grid_ms"] * built["grid_ms"]
    return {name: array[at_head] for name, array in built.items()}


def _picked(view: ViewPlan, rows: Rows, index: IntArray) -> Rows:
    columns = {
        name: type(column)(
            column.values[index], None if column.valid is None else column.valid[index]
        )
        for name, column in rows.columns.items()
        if name in view.columns
    }
    return Rows(
        rows.entity[index],
        rows.event_ms[index],
        rows.known[index],
        rows.tie_ranks(np.arange(len(rows.entity)))[index] if keeps_ties(view) else None,
        columns,
    )


def _states(
    view: ViewPlan, tiles: Mapping[str, Array]
) -> Iterator[tuple[int, int, int, int, list[Any]]]:
    """Each tile as entity code, grid, start, newest row and the fields of its grid's slots."""
    for grid_ms in view.grids_ms:
        of_grid = np.flatnonzero(tiles["grid_ms"] == grid_ms)
        names = [field.name for slot in slots(view, grid_ms) for field in slot.fields]
        columns = [tiles[name][of_grid].tolist() for name in ("entity", "tile_start_ms", NEWEST)]
        fields = [tiles[name][of_grid].tolist() for name in names]
        states = map(list, zip(*fields, strict=True))
        for code, start_ms, newest_ms, state in zip(*columns, states, strict=True):
            yield code, grid_ms, start_ms, newest_ms, state
