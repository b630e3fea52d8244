"""Arrow tables in, feature values out: the kernel for data that fits in memory.

Rows are an events table (``event_id``, ``event_timestamp``, ``available_at``, ``position``,
join keys, fields). Points are a table of join keys and ``event_timestamp``, with
``known_at`` (default: the point's own instant) or ``seen_position`` (what a recorded read
could see) where asked for. Order, number and duplicates of the points are kept. Instants
are rounded down to milliseconds on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import InvalidInputError
from core.features.arrays import Codes, FloatArray, IntArray, Points, Rows
from core.features.kernel import view_values
from core.features.partials import keeps_ties
from core.features.plan import Plan, ViewPlan, feature_column
from core.features.transforms import apply_transforms
from stores.frames.columns import (
    Kept,
    column_of,
    feature_columns,
    instants_ms,
    numbers_of,
    text_column,
)
from stores.frames.keys import EntityCoder, first_rows, key_column

EVENT_ID = "event_id"
EVENT_TIMESTAMP = "event_timestamp"
AVAILABLE_AT = "available_at"
POSITION = "position"
KNOWN_AT = "known_at"
SEEN_POSITION = "seen_position"


@dataclass(frozen=True)
class EntityRows:
    """Rows of a source as arrays, and the join keys of each entity code."""

    rows: Rows
    keys: pa.Table


def entity_rows(view: ViewPlan, rows: pa.Table) -> EntityRows:
    """All rows of an events table as arrays, coded by their own entities.

    Rows with a null join key belong to no entity and are left out; ``keys`` has one row
    per entity code, in order. ``known`` is the availability where the view keeps ties; no
    tile or base value of another view asks when a row became known, so there it is 0 and
    ``rows`` need neither ``available_at`` nor ``event_id``.
    """
    coder = EntityCoder.of(view.join_keys, rows)
    codes = coder.codes(rows).astype(np.int64)
    firsts = first_rows(codes)
    keys = pa.table({name: key_column(rows, name).take(firsts) for name in view.join_keys})
    known_by = AVAILABLE_AT if keeps_ties(view) else None
    return EntityRows(_rows(view, rows, codes, known_by), keys)


def view_table(view: ViewPlan, rows: pa.Table, points: pa.Table) -> pa.Table:
    """Values of all features of ``view`` at every point, one float64 column each.

    Parameters
    ----------
    view
        What to compute.
    rows
        Events table of the view's source; columns that nothing reads may be missing.
    points
        Join keys and ``event_timestamp``; optionally ``known_at`` (null: the point's own
        instant) or ``seen_position`` (int64).

    Returns
    -------
    pyarrow.Table
        One row per point, in order; columns named by `core.features.plan.feature_column`,
        null where the feature is null.

    Raises
    ------
    InvalidInputError
        If a column is missing or of another type, an instant is null, or the points say
        both what was known and what was seen.
    """
    values = _view_values(view, rows, points, SEEN_POSITION)
    return pa.table(
        {feature_column(f"{view.name}:{name}"): _nullable(v) for name, v in values.items()}
    )


def plan_table(plan: Plan, rows_by_source: Mapping[str, pa.Table], points: pa.Table) -> pa.Table:
    """The vector of every point: one float64 column per entry, transforms applied.

    Parameters
    ----------
    plan
        Compiled feature service.
    rows_by_source
        Events table of every source that a view of the plan reads.
    points
        As for `view_table`, with the request fields of the plan. Each view may have its own
        ``seen_position__<view>``, which goes before ``seen_position``.

    Raises
    ------
    InvalidInputError
        As for `view_table`, or if a source or a request field is missing.
    """
    values: dict[str, FloatArray] = {
        "at_ms": instants_ms(points, EVENT_TIMESTAMP).astype(np.float64)
    }
    for field in plan.request_fields:
        values[f"request:{field.name}"] = _request_values(points, field.name)
    for view in plan.views:
        own = f"{SEEN_POSITION}__{view.name}"
        seen = own if own in points.column_names else SEEN_POSITION
        answers = _view_values(view, _source(rows_by_source, view), points, seen)
        values.update({f"{view.name}:{name}": answer for name, answer in answers.items()})
    values.update(apply_transforms(plan, values))
    return pa.table({feature_column(name): _nullable(values[name]) for name in plan.vector})


def _source(rows_by_source: Mapping[str, pa.Table], view: ViewPlan) -> pa.Table:
    if view.source not in rows_by_source:
        raise InvalidInputError(
            f"the source {view.source!r} of {view.name!r} is missing",
            found=", ".join(rows_by_source) or "no source",
            remedy="pass the events table of every source of the plan",
        )
    return rows_by_source[view.source]


def _request_values(points: pa.Table, name: str) -> FloatArray:
    column = column_of(points, name).cast(pa.float64())
    values: FloatArray = column.fill_null(float("nan")).to_numpy()
    return values


def _nullable(values: FloatArray) -> pa.Array:
    return pa.array(values, pa.float64(), from_pandas=True)


def _view_values(
    view: ViewPlan, rows: pa.Table, points: pa.Table, seen_position: str
) -> dict[str, FloatArray]:
    at_ms = instants_ms(points, EVENT_TIMESTAMP)
    known = _known(points, at_ms, seen_position)
    # Coded by the points' entities, so that rows of all others are dropped at once.
    coder = EntityCoder.of(view.join_keys, points)
    known_by = POSITION if seen_position in points.column_names else AVAILABLE_AT
    # Not bound to a name here: the kernel lets the rows' arrays go once it has ordered them.
    return view_values(
        view,
        _rows(view, rows, coder.codes(rows), known_by),
        Points(coder.codes(points), at_ms, known),
    )


def _known(points: pa.Table, at_ms: IntArray, seen_position: str) -> IntArray:
    names = points.column_names
    if seen_position not in names:
        if KNOWN_AT not in names:
            return at_ms
        given = column_of(points, KNOWN_AT)
        return instants_ms(
            pa.table({KNOWN_AT: pc.coalesce(given, column_of(points, EVENT_TIMESTAMP))}), KNOWN_AT
        )
    if KNOWN_AT in names:
        raise InvalidInputError(
            "points say both what was known and what was seen",
            found=f"{KNOWN_AT} and {seen_position}",
            remedy="leave one of the two columns out",
        )
    seen = column_of(points, seen_position)
    if seen.null_count:
        raise InvalidInputError(
            f"the column {seen_position!r} has nulls",
            found=f"{seen.null_count} of {len(seen)}",
            remedy="give every point the position that its read had seen",
        )
    positions: IntArray = numbers_of(seen, pa.int64())
    return positions


def _rows(view: ViewPlan, table: pa.Table, codes: Codes, known_by: str | None) -> Rows:
    kept: Kept = None
    if len(codes) and int(codes.min()) < 0:
        kept = np.flatnonzero(codes >= 0)
    if known_by == AVAILABLE_AT:
        known = instants_ms(table, AVAILABLE_AT)
    elif known_by == POSITION:
        known = numbers_of(column_of(table, POSITION), pa.int64())
    else:
        known = np.zeros(len(table), np.int64)
    return Rows(
        entity=codes if kept is None else codes[kept],
        event_ms=_kept(instants_ms(table, EVENT_TIMESTAMP), kept),
        known=_kept(known, kept),
        tie=_tie_ranks(table, kept),
        columns=feature_columns(view, table, kept),
    )


def _kept(values: IntArray, kept: Kept) -> IntArray:
    return values if kept is None else values[kept]


def _tie_ranks(table: pa.Table, kept: Kept) -> Callable[[IntArray], IntArray]:
    """Ranks by (available_at, event_id), made when asked and only for the rows that tie."""

    def ranks(indices: IntArray) -> IntArray:
        places = indices if kept is None else kept[indices]
        available = pa.table({AVAILABLE_AT: column_of(table, AVAILABLE_AT).take(places)})
        keys = pa.table(
            {
                "available_ms": instants_ms(available, AVAILABLE_AT),
                "event_id": text_column(table, EVENT_ID).take(places).cast(pa.string()),
            }
        )
        by_key = pc.sort_indices(
            keys, sort_keys=[("available_ms", "ascending"), ("event_id", "ascending")]
        )
        found = np.empty(len(places), np.int64)
        found[by_key.to_numpy()] = np.arange(len(places))
        return found

    return ranks
