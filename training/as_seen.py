"""Recorded feature values, computed again from the tables as the recorded read had seen them.

A record says of each view up to which position of the source's log the read knew the entity's
rows. The same rows are taken from the table, later ones are left out, and the kernel answers. A
masked entity is found by masking the keys that the table holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray

from core.clock import DAY_MS, date_start_ms
from core.degradation import EXPIRED, UNAVAILABLE, WITHHELD
from core.errors import NotReadyError
from core.features.keys import epoch_of
from core.features.plan import ViewPlan, feature_column
from core.recorded import Record, masked_keys
from stores.frames.frames import (
    AVAILABLE_AT,
    EVENT_ID,
    EVENT_TIMESTAMP,
    POSITION,
    SEEN_POSITION,
    view_table,
)
from stores.layout import Layout
from stores.masking import Mask
from stores.tables import Removal, epoch_said, open_table, read_dates, removals_said

NOT_READ = "the online store did not answer then"
NOT_USED = "the source's events were too old to be used then"
NOT_TO_BE_USED = "the subject had opted out then"
NOT_INGESTED = "the table does not yet hold all that the read had seen"
NO_TABLE = "the source has no table"
NOTHING_SEEN = -1


@dataclass(frozen=True)
class SeenValues:
    """A view's values by feature, shape ``(n,)``; where ``why_not`` says why, they mean nothing.

    ``may_be_removed``, shape ``(n,)``, says whether a value may rest on rows that were removed from
    the source's table since it was read.
    """

    values: dict[str, NDArray[np.float64]]
    why_not: list[str]
    may_be_removed: NDArray[np.bool_]


def values_as_seen(
    view: ViewPlan, records: Sequence[Record], layout: Layout, mask: Mask
) -> SeenValues:
    """Values of a view at every record's point, from what its read had seen."""
    read = [record["features"][view.name] for record in records]
    seen = [NOTHING_SEEN if r["seen_position"] is None else r["seen_position"] for r in read]
    try:
        table = open_table(layout.events(view.source))
    except NotReadyError:
        nothing = np.full(len(records), np.nan)
        values = dict.fromkeys(view.feature_names, nothing)
        gone = np.zeros(len(records), dtype=np.bool_)
        return SeenValues(values, [NO_TABLE] * len(records), gone)
    held = epoch_said(table)
    why_not = [_why_not(r["status"], place, held) for r, place in zip(read, seen, strict=True)]
    at_ms = [record["at_ms"] for record in records]
    rows = _rows(view, table, at_ms)
    points = {name: _keys(records, name, rows, mask) for name in view.join_keys}
    points[EVENT_TIMESTAMP] = pa.array(at_ms, pa.timestamp("ms", tz="UTC"))
    points[SEEN_POSITION] = pa.array(seen, pa.int64())
    answers = view_table(view, rows, pa.table(points))
    values = {
        name: answers[feature_column(f"{view.name}:{name}")].to_numpy().astype(np.float64)
        for name in view.feature_names
    }
    return SeenValues(values, why_not, _may_be_removed(view, records, removals_said(table)))


def _why_not(status: str, seen: int, held: int | None) -> str:
    if status == UNAVAILABLE:
        return NOT_READ
    if status == EXPIRED:
        return NOT_USED
    if status == WITHHELD:
        return NOT_TO_BE_USED
    if seen != NOTHING_SEEN and (held is None or epoch_of(seen) > held):
        return NOT_INGESTED
    return ""


def _rows(view: ViewPlan, table: DeltaTable, at_ms: Sequence[int]) -> pa.Table:
    """Rows that can matter to any of the points: no older than the view looks back."""
    reach_ms = _reach_ms(view)
    first_ms = None if reach_ms is None else min(at_ms) - reach_ms
    own = (EVENT_ID, EVENT_TIMESTAMP, AVAILABLE_AT, POSITION)
    columns = dict.fromkeys((*own, *view.join_keys, *view.columns))
    return read_dates(table, columns, from_ms=first_ms, to_ms=max(at_ms))


def _reach_ms(view: ViewPlan) -> int | None:
    """How far a view looks back; None where that is without end."""
    return max((w.window_ms + w.grid_ms for w in view.windows), default=view.ttl_ms)


def _may_be_removed(
    view: ViewPlan, records: Sequence[Record], removals: Sequence[Removal]
) -> NDArray[np.bool_]:
    """Whether rows that a record's read had seen may have been removed after it.

    A sweep takes old dates, day by day: what does not look back as far has lost nothing.
    """
    received_ms = np.array([record["received_at_ms"] for record in records], dtype=np.int64)
    at_ms = np.array([record["at_ms"] for record in records], dtype=np.int64)
    reach_ms = _reach_ms(view)
    found = np.zeros(len(records), dtype=np.bool_)
    for removed_ms, newest_date in removals:
        theirs = received_ms <= removed_ms
        if reach_ms is not None and newest_date is not None:
            theirs &= at_ms - reach_ms < date_start_ms(newest_date) + DAY_MS
        found |= theirs
    return found


def _keys(records: Sequence[Record], name: str, rows: pa.Table, mask: Mask) -> pa.Array:
    """Join key of every record as text; a mask that no key of the table has stays a mask."""
    given = [str(record["entities"][name]) for record in records]
    if any(name in masked_keys(record) for record in records):
        known = pc.unique(rows[name]).drop_null().to_pylist()
        behind = {mask.of(value): str(value) for value in known}
        given = [behind.get(value, value) for value in given]
    return pa.array(given, pa.string())
