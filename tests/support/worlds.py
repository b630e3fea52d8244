"""Generated worlds: a view, rows and points chosen to sit on every edge of the meaning.

Each world has its own view. Rows are placed on and one millisecond beside the edges that
its points have (window starts, t itself, ttl, what was known), tie with each other, come
late, carry nulls, NaN and unicode, and belong to keys that look alike when joined.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import world_drawing as drawing
from entity_parts import parts_of
from numpy.random import Generator
from numpy.typing import NDArray
from world_drawing import KeyType, Point

from core.features import oracle
from core.features.keys import position
from core.features.oracle import KnownAt, Row, SeenUpTo
from core.features.plan import (
    ColumnType,
    Plan,
    ViewPlan,
)

ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
Mismatch = tuple[str, int, float, float]


@dataclass(frozen=True)
class World:
    """One view with rows and points; ``key_types`` are those of the join key columns."""

    view: ViewPlan
    key_types: tuple[KeyType, ...]
    rows: list[Row]
    points: list[Point]

    @property
    def plan(self) -> Plan:
        """A service of this one view, all its features in declared order."""
        vector = tuple(f"{self.view.name}:{name}" for name in self.view.feature_names)
        return Plan(
            service=f"{self.view.name}_service",
            views=(self.view,),
            transforms=(),
            request_fields=(),
            vector=vector,
        )

    def expected(self) -> dict[str, NDArray[np.float64]]:
        """The oracle's answers as columns in point order, NaN for null."""
        return self._columns([KnownAt(known_ms) for _, _, known_ms in self.points])

    def expected_as_seen(self, positions: Sequence[int]) -> dict[str, NDArray[np.float64]]:
        """The oracle's answers where the n-th point has seen the log up to ``positions[n]``."""
        return self._columns([SeenUpTo(seen) for seen in positions])

    def _columns(self, known: Sequence[KnownAt | SeenUpTo]) -> dict[str, NDArray[np.float64]]:
        answers = [
            oracle.view_values(self.view, self.rows, entity, at_ms, knows)
            for (entity, at_ms, _), knows in zip(self.points, known, strict=True)
        ]
        return {
            name: np.array([_number(answer[name]) for answer in answers], np.float64)
            for name in self.view.feature_names
        }


def _number(answer: float | None) -> float:
    return float("nan") if answer is None else float(answer)


def worlds(seed: int, n: int, *, n_points: int = 25, n_rows: int = 70) -> Iterator[World]:
    """``n`` worlds, each with its own view; every third is a view of attributes."""
    for index in range(n):
        rng = np.random.default_rng([seed, index])
        name = f"world_{seed}_{index}_v1"
        view = (
            drawing.attribute_view(rng, name) if index % 3 == 2 else drawing.window_view(rng, name)
        )
        yield world_of(view, rng, n_points=n_points, n_rows=n_rows)


def world_of(
    view: ViewPlan, rng: Generator, *, n_points: int = 25, n_rows: int = 70, prefix: str = ""
) -> World:
    """A world of ``view``; ``prefix`` stands before every first join key and every event id.

    Worlds of one view with different prefixes may be joined and answered by one job.
    """
    key_types = drawing.key_types_of(view, rng, prefix)
    entities = drawing.entities_of(view, key_types, rng, prefix)
    origin_ms = int(rng.choice(drawing.ORIGINS_MS))
    points = [drawing.point_of(view, rng, entities, origin_ms) for _ in range(n_points)]
    # The last entity has points but no rows; the first is hot.
    with_rows = entities[:-1]
    shares = np.array([6.0] + [1.0] * (len(with_rows) - 1))
    owners = rng.choice(len(with_rows), size=n_rows, p=shares / shares.sum())
    rows: list[Row] = []
    for number, owner in enumerate(owners):
        rows.append(drawing.row_of(view, rng, points, rows, with_rows[owner], prefix, number))
    return World(view, key_types, drawing.in_log_order(rng, rows), points)


def joined(parts: Sequence[World]) -> World:
    """Worlds of one view and one kind of keys as one; their prefixes must differ."""
    first = parts[0]
    rows = [row for part in parts for row in part.rows]
    moved = [
        replace(row, position=position(1 + index // 1_000, index % 1_000))
        for index, row in enumerate(rows)
    ]
    return World(first.view, first.key_types, moved, [p for part in parts for p in part.points])


def to_arrow(world: World) -> tuple[pa.Table, pa.Table]:
    """Rows as an events table and points with their ``known_at``."""
    return rows_table(world), points_table(world)


def rows_table(world: World) -> pa.Table:
    """Rows with the columns of an events table, in its order."""
    rows = world.rows
    event = _instants([row.event_ms for row in rows])
    available = _instants([row.available_ms for row in rows])
    columns: dict[str, pa.Array] = {
        "event_id": pa.array([row.event_id for row in rows], pa.string()),
        "event_timestamp": event,
        "ingested_at": available,
        "available_at": available,
        "position": pa.array([row.position for row in rows], pa.int64()),
        "partition": pa.array([0] * len(rows), pa.int32()),
        "payload_digest": pa.array(
            [hashlib.sha256(row.event_id.encode()).hexdigest() for row in rows], pa.string()
        ),
        **_key_columns(world, [row.entity for row in rows]),
    }
    for name, kind in world.view.columns.items():
        values = [row.values[name] for row in rows]
        columns[name] = (
            _instants(values) if kind == "timestamp" else pa.array(values, ARROW_TYPES[kind])
        )
    columns["event_date"] = event.cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
    return pa.table(columns)


def points_table(world: World) -> pa.Table:
    """Points with join keys, ``event_timestamp`` and ``known_at``."""
    return pa.table(
        {
            **_key_columns(world, [entity for entity, _, _ in world.points]),
            "event_timestamp": _instants([at_ms for _, at_ms, _ in world.points]),
            "known_at": _instants([known_ms for _, _, known_ms in world.points]),
        }
    )


def _instants(values_ms: Sequence[Any]) -> pa.Array:
    micros = [None if value is None else int(value) * 1_000 for value in values_ms]
    return pa.array(micros, pa.int64()).cast(pa.timestamp("us", tz="UTC"))


def _key_columns(world: World, entities: Sequence[bytes]) -> dict[str, pa.Array]:
    parts = [parts_of(entity) for entity in entities]
    columns: dict[str, pa.Array] = {}
    for place, (name, kind) in enumerate(zip(world.view.join_keys, world.key_types, strict=True)):
        texts = [part[place] for part in parts]
        values = [int(text) for text in texts] if kind == "int64" else texts
        columns[name] = pa.array(values, ARROW_TYPES[kind])
    return columns


# --- comparison ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """How many values were compared, and where they differ.

    ``mismatches`` names features whose values differ after the cast to float32, each with
    the index of the point; ``n_inexact`` counts values that differ as float64.
    """

    n_points: int
    n_values: int
    n_inexact: int
    mismatches: tuple[Mismatch, ...]


def compare(
    expected: Mapping[str, NDArray[np.float64]], actual: Mapping[str, NDArray[np.float64]]
) -> Comparison:
    """Expected against actual columns; null (NaN) equals null. Every feature must be there."""
    assert set(expected) == set(actual), set(expected) ^ set(actual)
    mismatches: list[Mismatch] = []
    n_points = n_values = n_inexact = 0
    for name, wanted in expected.items():
        got = np.asarray(actual[name], np.float64)
        assert got.shape == wanted.shape, (name, got.shape, wanted.shape)
        with np.errstate(over="ignore"):
            differ = ~np.equal(wanted.astype(np.float32), got.astype(np.float32))
        differ &= ~(np.isnan(wanted) & np.isnan(got))
        mismatches += [
            (name, int(i), float(wanted[i]), float(got[i])) for i in np.flatnonzero(differ)
        ]
        n_inexact += int((~((wanted == got) | (np.isnan(wanted) & np.isnan(got)))).sum())
        n_points, n_values = len(wanted), n_values + len(wanted)
    return Comparison(n_points, n_values, n_inexact, tuple(mismatches))
