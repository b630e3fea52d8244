"""Worlds on their way into online values: what batch writes, and what the folder is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from world_arrays import to_arrays
from worlds import World

from core.features.arrays import Column, Rows
from core.features.base_values import base_values, raw_from_ms
from core.features.blob import BASE, Contents, codec_of
from core.features.fold import FoldEvent
from core.features.keys import epoch_of, offset_of
from core.features.oracle import Row
from core.features.partials import RawRow
from core.features.plan import ViewPlan
from core.features.tiles import build_tiles


def arrays_of(view: ViewPlan, rows: Sequence[Row]) -> tuple[Rows, NDArray[Any]]:
    """Rows as arrays, ``known`` the availability, and their ids; codes follow sorted keys."""
    ids = np.empty(len(rows), object)
    ids[:] = [row.event_id.encode() for row in rows]
    return to_arrays(World(view, ("string",), list(rows), []))[0], ids


def taken(rows: Rows, index: NDArray[np.int64]) -> Rows:
    """Rows at the places of ``index``."""
    assert isinstance(rows.tie, np.ndarray)
    columns = {
        name: Column(c.values[index], None if c.valid is None else c.valid[index])
        for name, c in rows.columns.items()
    }
    picked = (rows.entity[index], rows.event_ms[index], rows.known[index], rows.tie[index])
    return Rows(*picked, columns)


def bases(view: ViewPlan, rows: Iterable[Row], *, epoch: int, head_ms: int) -> dict[bytes, bytes]:
    """Base values of all entities from the rows of epochs up to ``epoch``, as batch makes them.

    Tiles hold all of these rows, those after the head too, as a table of tiles does; raw
    rows are only those that batch reads.
    """
    covered = [row for row in rows if epoch_of(row.position) <= epoch]
    keys = sorted({row.entity for row in covered})
    arrays, ids = arrays_of(view, covered)
    tiles = build_tiles(view, arrays, ids) if view.windows else None
    if view.windows:
        recent = np.flatnonzero(arrays.event_ms >= raw_from_ms(view, head_ms))
        arrays, ids = taken(arrays, recent), ids[recent]
    written = base_values(view, tiles, arrays, keys, epoch=epoch, head_ms=head_ms, event_ids=ids)
    return dict(written)


def base_of(view: ViewPlan, rows: Sequence[RawRow], *, epoch: int, head_ms: int) -> bytes:
    """Base value of one entity that has no tile yet."""
    return codec_of(view).encode(BASE, Contents(epoch, head_ms, rows=list(rows)))


def fold_event(row: Row) -> FoldEvent:
    """A row as the folder reads it from the log."""
    epoch, offset = epoch_of(row.position), offset_of(row.position)
    times = (row.event_ms, row.available_ms)
    return FoldEvent(epoch, offset, row.event_id, *times, row.values)


def fold_events(rows: Iterable[Row]) -> dict[bytes, list[FoldEvent]]:
    """Events of each entity, in the order of the log."""
    events: dict[bytes, list[FoldEvent]] = {}
    for row in sorted(rows, key=lambda row: row.position):
        events.setdefault(row.entity, []).append(fold_event(row))
    return events
