"""Worlds as the arrays that kernel and tiles take, built one row at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from worlds import World

from core.features import hll
from core.features.arrays import Column, Points, Rows
from core.features.oracle import Row
from core.features.values import cast_value


def to_arrays(world: World, seen: Sequence[int] | None = None) -> tuple[Rows, Points]:
    """Rows and points of a world; ``seen`` gives positions in place of ``known_at``."""
    codes = {entity: code for code, entity in enumerate(sorted({r.entity for r in world.rows}))}
    by_rank = sorted(range(len(world.rows)), key=lambda i: _tie(world.rows[i]))
    ranks = np.empty(len(world.rows), np.int64)
    ranks[by_rank] = np.arange(len(world.rows))
    rows = Rows(
        entity=_ints(codes[row.entity] for row in world.rows),
        event_ms=_ints(row.event_ms for row in world.rows),
        known=_ints(row.available_ms if seen is None else row.position for row in world.rows),
        tie=ranks,
        columns={name: _column(world, name) for name in world.view.columns},
    )
    points = Points(
        entity=_ints(codes.get(entity, -1) for entity, _, _ in world.points),
        at_ms=_ints(at_ms for _, at_ms, _ in world.points),
        known=_ints(seen if seen is not None else (known for _, _, known in world.points)),
    )
    return rows, points


def _ints(values: Any) -> Any:
    return np.array(list(values), np.int64)


def _tie(row: Row) -> tuple[int, bytes]:
    return row.available_ms, row.event_id.encode()


def _column(world: World, name: str) -> Column:
    kind = world.view.columns[name]
    values = [cast_value(row.values[name], kind) for row in world.rows]
    categories = {c: i for a in world.view.attributes for i, c in enumerate(a.categories)}
    if kind == "string" and world.view.attributes:
        values = [categories.get(str(v)) if v is not None else None for v in values]
    elif kind == "string":
        values = [None if v is None else _signed(hll.hash_value(v)) for v in values]
    valid = np.array([value is not None for value in values], np.bool_)
    dtype = np.float64 if kind == "float64" else np.int64
    numbers: Any = np.array([77 if value is None else value for value in values], dtype)
    return Column(numbers, None if valid.all() else valid)


def _signed(hashed: int) -> int:
    return hashed - 2**64 if hashed >= 2**63 else hashed
