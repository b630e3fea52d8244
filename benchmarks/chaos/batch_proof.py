"""What reads counted, beside the oracle over the table of events: nothing twice, nothing lost.

A read says up to which position of the log it knew its entity's rows (``seen_position``). Once the
table holds the whole log, the oracle says what each read must have said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from core.features.keys import entity_key
from core.features.oracle import Answer, Row, SeenUpTo, view_values
from core.features.plan import ViewPlan
from core.recorded import ulp_distances
from stores.layout import Layout
from stores.tables import open_table, read_dates

EVERYTHING = 2**62
"""A position beyond every one of a log."""


class Read(NamedTuple):
    """What a read of one view said of an entity: its values, and up to where it had seen."""

    view: str
    entity: bytes
    at_ms: int
    seen: int | None
    values: Mapping[str, Answer]


@dataclass(frozen=True)
class Compared:
    """Reads beside the oracle: how many values were compared, how many were wrong, and one."""

    reads: int
    values: int
    wrong: int
    worst: str = ""


@dataclass(frozen=True)
class Kept:
    """Ids of acknowledged events beside the table: how many are not in it, how many twice."""

    acknowledged: int
    missing: int
    doubled: int


def event_rows(layout: Layout, view: ViewPlan) -> dict[bytes, list[Row]]:
    """Rows of a view's source in its table, by entity."""
    own = ("event_id", "event_timestamp", "available_at", "position")
    columns = dict.fromkeys((*own, *view.join_keys, *view.columns))
    table = read_dates(open_table(layout.events(view.source)), columns)
    found: dict[bytes, list[Row]] = {}
    for row in _in_milliseconds(table).to_pylist():
        entity = entity_key([row[key] for key in view.join_keys])
        event_id, event_ms, available_ms, place = (row[name] for name in own)
        values = {name: row[name] for name in view.columns}
        held = Row(event_id, entity, event_ms, available_ms, place, values)
        found.setdefault(entity, []).append(held)
    return found


def _in_milliseconds(table: pa.Table) -> pa.Table:
    """The table with its instants as epoch milliseconds."""
    for place, name in enumerate(table.column_names):
        if pa.types.is_timestamp(table[name].type):
            stamps = table[name].cast(pa.timestamp("ms", tz="UTC"), safe=False)
            table = table.set_column(place, name, stamps.cast(pa.int64()))
    return table


def compared(
    reads: Iterable[Read],
    views: Sequence[ViewPlan],
    rows: Mapping[str, Mapping[bytes, Sequence[Row]]],
    *,
    is_whole: bool = False,
) -> Compared:
    """Hold reads to the oracle over ``rows`` of each view, by entity.

    With ``is_whole`` each must have seen all rows, whatever it says that it saw. One float32 ulp is
    what batch and service may differ by.
    """
    known, read, total, wrong, worst = {view.name: view for view in views}, 0, 0, 0, ""
    for each in reads:
        view = known[each.view]
        seen = EVERYTHING if is_whole else -1 if each.seen is None else each.seen
        own = rows[each.view].get(each.entity, ())
        expected = view_values(view, own, each.entity, each.at_ms, SeenUpTo(seen))
        apart = ulp_distances(
            _array(expected[name] for name in view.feature_names),
            _array(each.values[name] for name in view.feature_names),
        )
        read, total = read + 1, total + len(apart)
        for place in np.flatnonzero(apart > 1):
            name = view.feature_names[place]
            worst = worst or (
                f"{each.view}.{name} of {each.entity!r} at {each.at_ms}, seen {each.seen}: "
                f"read {each.values[name]}, oracle {expected[name]}"
            )
            wrong += 1
    return Compared(read, total, wrong, worst)


def kept(acknowledged: Iterable[str], layout: Layout, source: str) -> Kept:
    """Whether the table of events holds each acknowledged id, and no id twice."""
    table = read_dates(open_table(layout.events(source)), {"event_id": None})
    counts = Counter(table["event_id"].to_pylist())
    told = set(acknowledged)
    doubled = sum(count > 1 for count in counts.values())
    return Kept(len(told), len(told - counts.keys()), doubled)


def _array(values: Iterable[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.nan if value is None else float(value) for value in values])
