"""Materialise: from the tables to the base value of every entity of a view.

Base holds what the log said up to an epoch P, and P. Tiles come from the view's table, rows
since the last closed tile of its longest grid (attributes: all rows) from the events table,
each read by delta-rs at one version, and neither beyond P. After the last value stands the
mark from which the folder takes P, and readers the first instant they can answer. So a run
that was cut short changes nothing for them: a reader takes P from each value. One run at a time
writes a view.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from operator import or_
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable
from numpy.typing import NDArray

from core.errors import IntegrityError, NotReadyError
from core.features.arrays import Column, IntArray, Rows
from core.features.base_values import base_values, raw_from_ms
from core.features.blob import base_key
from core.features.fold import YOUNG_MS, oldest_start_ms
from core.features.keys import entity_key, epoch_of, position
from core.features.partials import keeps_ties
from core.features.plan import Frozen, ViewPlan
from core.features.tiles import tile_columns
from core.ports import OnlineStore
from stores.durable import exclusive_lock
from stores.frames.frames import entity_rows
from stores.layout import Layout
from stores.online.watermarks import covered_key, decode_covered, encode_covered
from stores.tables import epoch_said, open_table, read_dates

ENTITIES_AT_ONCE = 5_000
VALUES_A_WRITE = 500
_LAST_OFFSET = 2**32 - 1
_ROW_COLUMNS = ("event_id", "event_timestamp", "available_at", "position")


class Materialised(Frozen):
    """What one run wrote, and from what."""

    view: str
    epoch: int
    head_ms: int
    n_entities: int
    n_bytes: int
    n_tiles: int
    n_rows: int
    events_version: int
    tiles_version: int | None


@dataclass(frozen=True)
class _Input:
    """Tiles and rows of one version, in order of entity; ``keys`` holds each code's key."""

    keys: list[bytes]
    tiles: dict[str, NDArray[Any]]
    rows: Rows
    event_ids: NDArray[Any] | None


def materialise(view: ViewPlan, *, layout: Layout, store: OnlineStore, now_ms: int) -> Materialised:
    """Write the base value of every entity of ``view`` that has a tile or a row.

    Parameters
    ----------
    view
        The view to write.
    layout
        Where the tables are.
    store
        Where the values go.
    now_ms
        The present. Points from five minutes before it on can be answered afterwards.

    Raises
    ------
    NotReadyError
        If a table is missing, or says of no epoch that it is complete up to it.
    IntegrityError
        If the store covers a later epoch already: the folder dropped what lies before it.
    """
    with _one_at_a_time(layout, view):
        return _materialised(view, layout, store, now_ms - YOUNG_MS)


@contextmanager
def _one_at_a_time(layout: Layout, view: ViewPlan) -> Iterator[None]:
    """Hold a view's base values from the first look at the tables to the mark.

    Of two runs at once the one with the older tables would write over the other's values, and the
    folder has dropped what those cover.
    """
    layout.state.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(layout.state / f"online-{view.name}.lock"):
        yield


def _materialised(view: ViewPlan, layout: Layout, store: OnlineStore, head_ms: int) -> Materialised:
    events = open_table(layout.events(view.source))
    tiles = open_table(layout.tiles(view.name)) if view.windows else None
    epoch = _epoch(view, events if tiles is None else tiles)
    _refuse_older(view, store, epoch)
    taken = _input(view, events, tiles, epoch=epoch, head_ms=head_ms)
    n_entities = n_bytes = 0
    values = _values(view, taken, epoch=epoch, head_ms=head_ms)
    while part := dict(islice(values, VALUES_A_WRITE)):
        store.write(part)
        n_entities += len(part)
        n_bytes += sum(len(value) for value in part.values())
    covered = encode_covered(position(epoch, _LAST_OFFSET), head_ms)
    store.write({covered_key(view.name): covered})
    return Materialised(
        view=view.name,
        epoch=epoch,
        head_ms=head_ms,
        n_entities=n_entities,
        n_bytes=n_bytes,
        n_tiles=len(taken.tiles.get("entity", ())),
        n_rows=len(taken.rows.entity),
        events_version=events.version(),
        tiles_version=None if tiles is None else tiles.version(),
    )


def _epoch(view: ViewPlan, table: DeltaTable) -> int:
    epoch = epoch_said(table)
    if epoch is None:
        raise NotReadyError(
            f"the view {view.name!r} cannot be materialised",
            found="a table whose commits say no epoch of the log",
            remedy="write it with the platform's jobs: ingest, then tiles",
        )
    return epoch


def _refuse_older(view: ViewPlan, store: OnlineStore, epoch: int) -> None:
    held = store.read([covered_key(view.name)])[0]
    covered = -1 if held is None else epoch_of(decode_covered(held).position)
    if covered > epoch:
        raise IntegrityError(
            f"the online values of {view.name!r} cannot go back",
            found=f"tables up to epoch {epoch}, online values up to epoch {covered}",
            remedy="build the tiles of the ingested epochs first; after a restore of the "
            "tables, start with an empty online store",
        )


def _input(
    view: ViewPlan, events: DeltaTable, tiles: DeltaTable | None, *, epoch: int, head_ms: int
) -> _Input:
    from_ms = raw_from_ms(view, head_ms) if view.windows else None
    columns = dict.fromkeys((*_ROW_COLUMNS, *view.join_keys, *view.columns))
    rows = _up_to(read_dates(events, columns, from_ms=from_ms), view, epoch)
    if from_ms is not None:
        first = pa.scalar(from_ms * 1_000, pa.int64()).cast(rows["event_timestamp"].type)
        rows = rows.filter(pc.greater_equal(rows["event_timestamp"], first))
    rows = rows.sort_by("position")  # the same bytes however files lie
    coded = entity_rows(view, rows)
    keys = [entity_key(list(row.values())) for row in coded.keys.to_pylist()]
    ids = rows["event_id"].cast(pa.binary()).to_numpy() if keeps_ties(view) else None
    arrays: dict[str, NDArray[Any]] = {}
    if tiles is not None:
        arrays, keys = _tile_arrays(view, tiles, head_ms, keys)
    return _Input(keys, arrays, *_by_entity(view, coded.rows, ids))


def _up_to(rows: pa.Table, view: ViewPlan, epoch: int) -> pa.Table:
    """Rows of epochs up to ``epoch`` that name an entity."""
    kept = pc.less_equal(rows["position"], position(epoch, _LAST_OFFSET))
    for name in view.join_keys:
        kept = pc.and_(kept, rows[name].is_valid())
    return rows.filter(kept)


def _tile_arrays(
    view: ViewPlan, table: DeltaTable, head_ms: int, keys: list[bytes]
) -> tuple[dict[str, NDArray[Any]], list[bytes]]:
    """Tiles in order of entity, coded after ``keys``; and the keys with theirs added."""
    names = ["entity", "grid_ms", "tile_start_ms", *(name for name, _ in tile_columns(view))]
    oldest_ms = {grid_ms: oldest_start_ms(view, grid_ms, head_ms) for grid_ms in view.grids_ms}
    in_a_window = reduce(
        or_,
        (
            (ds.field("grid_ms") == grid_ms) & (ds.field("tile_start_ms") >= start_ms)
            for grid_ms, start_ms in oldest_ms.items()
        ),
    )
    tiles = read_dates(
        table, names, from_ms=min(oldest_ms.values()), to_ms=head_ms, where=in_a_window
    )
    coded = pc.dictionary_encode(tiles["entity"].combine_chunks())
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    known = {key: code for code, key in enumerate(keys)}
    places = [known.setdefault(key, len(known)) for key in coded.dictionary.to_pylist()]
    codes = np.array(places, np.int64)[coded.indices.to_numpy()]
    order = np.argsort(codes, kind="stable")
    arrays = {name: tiles[name].to_numpy()[order] for name in names[1:]}
    return {"entity": codes[order], **arrays}, list(known)


def _by_entity(
    view: ViewPlan, rows: Rows, event_ids: NDArray[Any] | None
) -> tuple[Rows, NDArray[Any] | None]:
    order = np.argsort(rows.entity, kind="stable")
    ties = rows.tie_ranks(np.arange(len(rows.entity))) if keeps_ties(view) else None
    ordered = _taken(rows, order, 0, ties)
    return ordered, None if event_ids is None else event_ids[order]


def _taken(rows: Rows, index: IntArray | slice, first: int, ties: IntArray | None) -> Rows:
    """Part of the rows, its entities counted from ``first``."""
    return Rows(
        rows.entity[index] - first,
        rows.event_ms[index],
        rows.known[index],
        None if ties is None else ties[index],
        {
            name: Column(c.values[index], None if c.valid is None else c.valid[index])
            for name, c in rows.columns.items()
        },
    )


def _values(
    view: ViewPlan, taken: _Input, *, epoch: int, head_ms: int
) -> Iterator[tuple[bytes, bytes]]:
    """Online key and base value of each entity; a few thousand entities are unpacked at once."""
    rows, tiles = taken.rows, taken.tiles
    ties = None if rows.tie is None else rows.tie_ranks(np.arange(len(rows.entity)))
    for first in range(0, len(taken.keys), ENTITIES_AT_ONCE):
        end = min(first + ENTITIES_AT_ONCE, len(taken.keys))
        of_rows = slice(*np.searchsorted(rows.entity, [first, end]).tolist())
        part = None
        if tiles:
            of_tiles = slice(*np.searchsorted(tiles["entity"], [first, end]).tolist())
            part = {name: array[of_tiles] for name, array in tiles.items()}
            part["entity"] = part["entity"] - first
        for key, value in base_values(
            view,
            part,
            _taken(rows, of_rows, first, ties),
            taken.keys[first:end],
            epoch=epoch,
            head_ms=head_ms,
            event_ids=None if taken.event_ids is None else taken.event_ids[of_rows],
        ):
            yield base_key(view.name, key), value
