"""Worlds on their way into online values: rows as arrays, bases at a head, log as fold events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.features.arrays import Column, Rows
from core.features.base_values import base_values, raw_from_ms
from core.features.fold import FoldEvent
from core.features.keys import epoch_of, offset_of
from core.features.oracle import Row
from core.features.partials import cells_of
from core.features.plan import ViewPlan
from core.features.tiles import build_tiles


def arrays_of(
    view: ViewPlan, rows: Sequence[Row], codes: Mapping[bytes, int]
) -> tuple[Rows, NDArray[Any]]:
    """Rows as arrays, ``known`` the availability, and their ids."""
    order = sorted(
        range(len(rows)), key=lambda i: (rows[i].available_ms, rows[i].event_id.encode())
    )
    tie = np.empty(len(rows), np.int64)
    tie[order] = np.arange(len(rows))
    cells = [cells_of(view, row.values) for row in rows]
    columns = {}
    for place, name in enumerate(sorted(view.columns)):
        kind = np.float64 if view.columns[name] == "float64" else np.int64
        of_column = [cell[place] for cell in cells]
        columns[name] = Column(
            np.array([0 if cell is None else cell for cell in of_column], kind),
            np.array([cell is not None for cell in of_column], np.bool_),
        )
    ids = np.empty(len(rows), object)
    ids[:] = [row.event_id.encode() for row in rows]
    arrays = Rows(
        np.array([codes[row.entity] for row in rows], np.int64),
        np.array([row.event_ms for row in rows], np.int64),
        np.array([row.available_ms for row in rows], np.int64),
        tie,
        columns,
    )
    return arrays, ids


def bases(view: ViewPlan, rows: Iterable[Row], *, epoch: int, head_ms: int) -> dict[bytes, bytes]:
    """Base values of all entities from the rows of epochs up to ``epoch``, as batch makes them.

    Tiles hold all of these rows, those after the head too, as a table of tiles does; raw
    rows are only those that batch reads.
    """
    covered = [row for row in rows if epoch_of(row.position) <= epoch]
    keys = sorted({row.entity for row in covered})
    codes = {key: code for code, key in enumerate(keys)}
    tiles = None
    if view.windows:
        tiles = build_tiles(view, *arrays_of(view, covered, codes))
        covered = [row for row in covered if row.event_ms >= raw_from_ms(view, head_ms)]
    arrays, ids = arrays_of(view, covered, codes)
    written = base_values(view, tiles, arrays, keys, epoch=epoch, head_ms=head_ms, event_ids=ids)
    return dict(written)


def fold_events(rows: Iterable[Row]) -> dict[bytes, list[FoldEvent]]:
    """Events of each entity, in the order of the log."""
    events: dict[bytes, list[FoldEvent]] = {}
    for row in sorted(rows, key=lambda row: row.position):
        event = FoldEvent(
            epoch_of(row.position),
            offset_of(row.position),
            row.event_id,
            row.event_ms,
            row.available_ms,
            row.values,
        )
        events.setdefault(row.entity, []).append(event)
    return events
