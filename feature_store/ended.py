"""Online values that outlived their rows: of entities of whom no table holds anything any more.

`materialise` writes the value of every entity that it finds in the tables, so it never comes back
to one that is not there: whose rows have had their time. An attribute would be answered online for
ever that the tables no longer know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from core.errors import IntegrityError
from core.features.blob import BASE, KEY_END, NO_EPOCH, Codec, codec_of, key_starts
from core.features.keys import entity_key
from core.features.plan import ViewPlan
from core.ports import OnlineStore
from stores.frames.keys import key_column
from stores.layout import Layout
from stores.tables import dataset_of, epoch_said

VALUES_A_READ = 500


def ended_values(
    view: ViewPlan,
    *,
    layout: Layout,
    store: OnlineStore,
    rows_due: Collection[str] = (),
    tiles_due: Collection[str] = (),
) -> list[bytes]:
    """Keys of base values whose entity has no row in the events table and no tile.

    A value that was written from a later state of the tables than the one looked at is none of
    them, so whoever materialises meanwhile loses nothing. Without an events table nothing is known,
    and nothing is named.

    Parameters
    ----------
    view
        The view whose values are looked at.
    layout
        Where the tables are.
    store
        Where the values are.
    rows_due, tiles_due
        Event dates of the events table and of tiles that count as gone: those about to be.
    """
    held = store.keys(key_starts(view.name)[BASE])
    if not held or not DeltaTable.is_deltatable(layout.events(view.source)):
        return []
    events = DeltaTable(layout.events(view.source))
    epoch = epoch_said(events)
    if epoch is None:
        return []
    known = _named(view, events, _but(rows_due))
    if view.windows and DeltaTable.is_deltatable(layout.tiles(view.name)):
        known |= _of_tiles(DeltaTable(layout.tiles(view.name)), _but(tiles_due))
    ended = [key for key in held if _entity_of(view, key) not in known]
    return [key for key, of_epoch in _epochs(view, store, ended) if of_epoch <= epoch]


def _entity_of(view: ViewPlan, key: bytes) -> bytes:
    return key.removeprefix(key_starts(view.name)[BASE]).removesuffix(KEY_END)


def _epochs(view: ViewPlan, store: OnlineStore, keys: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """Last epoch that each value holds; a value that went meanwhile has none."""
    codec = codec_of(view)
    for first in range(0, len(keys), VALUES_A_READ):
        some = keys[first : first + VALUES_A_READ]
        for key, value in zip(some, store.read(some), strict=True):
            if value is not None:
                yield key, _epoch(codec, value)


def _epoch(codec: Codec, value: bytes) -> int:
    try:
        return codec.open(BASE, value).epoch
    except IntegrityError:  # nobody can read it, and nothing is left to write it anew from
        return NO_EPOCH


def _but(dates: Collection[str]) -> ds.Expression | None:
    """Condition that an event date is none of some."""
    days = pa.array([date.fromisoformat(each) for each in dates], pa.date32())
    return ~ds.field("event_date").isin(days) if dates else None


def _named(view: ViewPlan, events: DeltaTable, kept: ds.Expression | None) -> set[bytes]:
    """Entities that a row names."""
    names, known = list(view.join_keys), set[bytes]()
    for batch in dataset_of(events).to_batches(columns=names, filter=kept):
        rows = pa.Table.from_batches([batch])
        keys = pa.table({name: key_column(rows, name) for name in names})
        distinct = keys.group_by(names).aggregate([]).drop_null()
        known.update(entity_key(list(row.values())) for row in distinct.to_pylist())
    return known


def _of_tiles(tiles: DeltaTable, kept: ds.Expression | None) -> set[bytes]:
    known = set[bytes]()
    for batch in dataset_of(tiles).to_batches(columns=["entity"], filter=kept):
        known.update(pc.unique(batch["entity"]).to_pylist())
    return known
