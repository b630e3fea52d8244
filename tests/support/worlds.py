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
from numpy.random import Generator
from numpy.typing import NDArray

from core.features import oracle
from core.features.keys import entity_key, parse_entity_key, position
from core.features.oracle import KnownAt, Row, SeenUpTo
from core.features.plan import (
    AttributeFeature,
    ColumnType,
    Plan,
    ViewPlan,
    WindowFeature,
)
from core.features.windows import DAY_MS, DEFAULT_GRIDS, spell_duration, window_start_ms

Point = tuple[bytes, int, int]
"""Entity key, t, known_at; both in milliseconds."""

WINDOW_COLUMNS: dict[str, ColumnType] = {
    "amount_minor": "int64",
    "ratio": "float64",
    "merchant": "string",
    "flag": "bool",
    "seen_at": "timestamp",
}
COUNTERS = ("count", "count_distinct")
NUMERIC = ("sum", "mean", "min", "max", "last", "stddev")
COUNTRIES = ("PT", "ES", "Åland", "")
ATTRIBUTE_COLUMNS: dict[str, ColumnType] = {
    "country": "string",
    "limit_minor": "int64",
    "risk": "float64",
    "active": "bool",
    "since": "timestamp",
}
ARROW_TYPES: dict[ColumnType, pa.DataType] = {
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
ORIGINS_MS = (0, 1_780_000_000_000, -40 * DAY_MS, 3 * DAY_MS + 1)
SINGLE_KEYS = ("1", "11", "", " 1", "é", "e\u0301", "\U0001d7d9", "NULL", "1|1", "c1")
PAIR_KEYS = (("1", "11"), ("11", "1"), ("", "111"), ("111", ""), ("a,b", "c"), ("a", "b,c"))
MERCHANTS = ("m1", "M1", "m10", "m9", "", "Ł", "🐘", "m2", "m3", "m4", "m5")
ID_LETTERS = ("e", "E", "é", "~", "z", "𐀀", "\uffee")


@dataclass(frozen=True)
class World:
    """One view with rows and points; ``key_types`` are those of the join key columns."""

    view: ViewPlan
    key_types: tuple[ColumnType, ...]
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


# --- generation ---------------------------------------------------------------------------


def worlds(seed: int, n: int, *, n_points: int = 25, n_rows: int = 70) -> Iterator[World]:
    """``n`` worlds, each with its own view; every third is a view of attributes."""
    for index in range(n):
        rng = np.random.default_rng([seed, index])
        name = f"world_{seed}_{index}_v1"
        view = attribute_view(rng, name) if index % 3 == 2 else window_view(rng, name)
        yield world_of(view, rng, n_points=n_points, n_rows=n_rows)


def window_view(rng: Generator, name: str, *, n_features: int = 9) -> ViewPlan:
    """A view of windows; over a few of them all functions, columns and windows occur."""
    features: dict[str, WindowFeature] = {}
    grids = {**DEFAULT_GRIDS, 60_000: 1_000, 2 * DAY_MS: DAY_MS}
    lengths = rng.choice(list(grids), size=3, replace=False)
    while len(features) < n_features:
        function = str(rng.choice(COUNTERS + NUMERIC))
        choices = [c for c in WINDOW_COLUMNS if function in COUNTERS or c != "merchant"]
        column = str(rng.choice(choices, p=_favour(choices)))
        window_ms = int(rng.choice(lengths))
        feature = WindowFeature(
            name=f"{column}_{function}_{spell_duration(window_ms)}",
            function=function,
            column=column,
            window_ms=window_ms,
            grid_ms=grids[window_ms],
            centre=float(rng.choice([0.0, 2_500.0, 0.1])) if function == "stddev" else 0.0,
        )
        features.setdefault(feature.name, feature)
    return ViewPlan(
        name=name,
        entity="card",
        join_keys=_join_keys(rng),
        source=f"{name}_source",
        columns={c: t for c, t in WINDOW_COLUMNS.items() if _reads(list(features.values()), c)},
        windows=tuple(features.values()),
    )


def _favour(columns: Sequence[str]) -> list[float]:
    weights = [4.0 if column in ("amount_minor", "ratio") else 1.0 for column in columns]
    return [weight / sum(weights) for weight in weights]


def _reads(features: Sequence[WindowFeature], column: str) -> bool:
    return any(feature.column == column for feature in features)


def attribute_view(rng: Generator, name: str) -> ViewPlan:
    """A view of attributes with a ttl; every fourth has none."""
    ttl_ms = None if rng.random() < 0.25 else int(rng.choice([1, 3_600_000, DAY_MS, 7 * DAY_MS]))
    return ViewPlan(
        name=name,
        entity="card",
        join_keys=_join_keys(rng),
        source=f"{name}_source",
        columns=ATTRIBUTE_COLUMNS,
        attributes=tuple(
            AttributeFeature(name=c, column=c, categories=COUNTRIES if c == "country" else ())
            for c in ATTRIBUTE_COLUMNS
        ),
        ttl_ms=ttl_ms,
    )


def _join_keys(rng: Generator) -> tuple[str, ...]:
    return ("card_id", "terminal_id") if rng.random() < 0.4 else ("card_id",)


def world_of(
    view: ViewPlan, rng: Generator, *, n_points: int = 25, n_rows: int = 70, prefix: str = ""
) -> World:
    """A world of ``view``; ``prefix`` stands before every first join key and every event id.

    Worlds of one view with different prefixes may be joined and answered by one job.
    """
    key_types = _key_types(view, rng, prefix)
    entities = _entities(view, key_types, rng, prefix)
    origin_ms = int(rng.choice(ORIGINS_MS))
    points = [_point(view, rng, entities, origin_ms) for _ in range(n_points)]
    # The last entity has points but no rows; the first is hot.
    with_rows = entities[:-1]
    shares = np.array([6.0] + [1.0] * (len(with_rows) - 1))
    owners = rng.choice(len(with_rows), size=n_rows, p=shares / shares.sum())
    rows: list[Row] = []
    for number, owner in enumerate(owners):
        rows.append(_row(view, rng, points, rows, with_rows[owner], prefix, number))
    return World(view, key_types, _in_log_order(rng, rows), points)


def joined(parts: Sequence[World]) -> World:
    """Worlds of one view and one kind of keys as one; their prefixes must differ."""
    first = parts[0]
    rows = [row for part in parts for row in part.rows]
    moved = [
        replace(row, position=position(1 + index // 1_000, index % 1_000))
        for index, row in enumerate(rows)
    ]
    return World(first.view, first.key_types, moved, [p for part in parts for p in part.points])


def _key_types(view: ViewPlan, rng: Generator, prefix: str) -> tuple[ColumnType, ...]:
    is_integer = rng.random() < 0.25 and not prefix
    return ("int64" if is_integer else "string",) * len(view.join_keys)


def _entities(
    view: ViewPlan, key_types: Sequence[ColumnType], rng: Generator, prefix: str
) -> list[bytes]:
    keys: list[tuple[str, ...]]
    if key_types[0] == "int64":
        keys = [(str(n), str(11 - n))[: len(view.join_keys)] for n in (1, 11, -1, 0, 111)]
    elif len(view.join_keys) == 1:
        keys = [(prefix + key,) for key in SINGLE_KEYS]
    else:
        keys = [(prefix + first, second) for first, second in PAIR_KEYS]
    rng.shuffle(keys)
    return [entity_key(key) for key in keys[:6]]


def _point(view: ViewPlan, rng: Generator, entities: Sequence[bytes], origin_ms: int) -> Point:
    at_ms = origin_ms + int(rng.integers(0, 3 * DAY_MS) // rng.choice([1, 60, 5_000]))
    if rng.random() < 0.3:  # on a grid
        grid_ms = int(rng.choice(view.grids_ms or (60_000,)))
        at_ms = at_ms // grid_ms * grid_ms + int(rng.integers(-1, 2))
    if rng.random() < 0.05:  # before any row
        at_ms -= 100 * DAY_MS
    shift_ms = 0
    if rng.random() < 0.3:
        shift_ms = int(rng.choice([-DAY_MS, -3_600_000, -1, 1, 3_600_000, 30 * DAY_MS]))
    which = 0 if rng.random() < 0.4 else int(rng.integers(0, len(entities)))
    return entities[which], at_ms, at_ms + shift_ms


def _row(
    view: ViewPlan,
    rng: Generator,
    points: Sequence[Point],
    earlier: Sequence[Row],
    entity: bytes,
    prefix: str,
    number: int,
) -> Row:
    near = points[int(rng.integers(0, len(points)))]
    if rng.random() < 0.6:
        entity = near[0] if any(near[0] == row.entity for row in earlier) else entity
    event_ms = _event_ms(view, rng, near[1])
    available_ms = event_ms + _delay_ms(rng)
    if rng.random() < 0.1:
        available_ms = near[2] + int(rng.integers(-1, 2))
    if earlier and rng.random() < 0.25:  # a tie, half of them in availability too
        twin = earlier[int(rng.integers(0, len(earlier)))]
        entity, event_ms = twin.entity, twin.event_ms
        available_ms = twin.available_ms if rng.random() < 0.5 else available_ms
    letter = ID_LETTERS[int(rng.integers(0, len(ID_LETTERS)))]
    return Row(
        event_id=f"{prefix}{letter}{number}",
        entity=entity,
        event_ms=event_ms,
        available_ms=available_ms,
        position=0,
        values={column: _value(column, kind, rng) for column, kind in view.columns.items()},
    )


def _event_ms(view: ViewPlan, rng: Generator, at_ms: int) -> int:
    draw = rng.random()
    if draw < 0.4:
        edges = [at_ms]
        edges += [window_start_ms(at_ms, w.window_ms, w.grid_ms) for w in view.windows]
        edges += [at_ms - w.window_ms for w in view.windows]
        edges += [at_ms - view.ttl_ms] if view.ttl_ms is not None else []
        return int(rng.choice(edges)) + int(rng.integers(-1, 2))
    reaches_ms = [60_000, 300_000, 3_600_000, DAY_MS, 8 * DAY_MS, 35 * DAY_MS]
    return at_ms - int(rng.integers(-10_000, int(rng.choice(reaches_ms))))


def _delay_ms(rng: Generator) -> int:
    """Mostly prompt, some late; a few rows are dated after they came."""
    longest_ms = int(rng.choice([1, 2_000, 3_600_000, 9 * DAY_MS], p=[0.5, 0.3, 0.1, 0.1]))
    return int(rng.integers(-200 if rng.random() < 0.05 else 0, longest_ms))


def _in_log_order(rng: Generator, rows: Sequence[Row]) -> list[Row]:
    """Rows in no order of time, with positions that mostly follow availability."""
    shuffled = [rows[index] for index in rng.permutation(len(rows))]
    jitter = rng.choice([0, 0, 0, 5 * DAY_MS], size=len(rows))
    arrival = np.argsort([row.available_ms for row in shuffled] + jitter, kind="stable")
    places = np.empty(len(rows), np.int64)
    places[arrival] = np.arange(len(rows))
    return [
        replace(row, position=position(1 + int(place) // 7, int(place) % 7))
        for row, place in zip(shuffled, places, strict=True)
    ]


def _value(column: str, kind: ColumnType, rng: Generator) -> str | int | float | bool | None:
    if rng.random() < 0.12:
        return None
    if kind == "float64":
        return _float(rng)
    if kind == "string":
        choices = (*COUNTRIES, "nowhere") if column == "country" else MERCHANTS
        return choices[int(rng.integers(0, len(choices)))]
    if kind == "bool":
        return bool(rng.random() < 0.5)
    if kind == "timestamp":
        return int(rng.integers(-DAY_MS, 2_000_000_000_000))
    return _integer(rng)


def _integer(rng: Generator) -> int:
    draw = rng.random()
    if draw < 0.1:  # beyond what a float holds exactly
        return int(rng.choice([-1, 1])) * (2**55 + int(rng.integers(0, 1_000)))
    if draw < 0.5:
        return int(rng.integers(-3, 4))
    return int(rng.integers(0, 100_000))


def _float(rng: Generator) -> float:
    draw = rng.random()
    if draw < 0.08:
        return float("nan")
    if draw < 0.2:
        return float(rng.choice([-0.0, 0.0, 0.1, 0.3]))
    return float(rng.normal() * 10.0 ** rng.uniform(-8, 12))


# --- arrow --------------------------------------------------------------------------------


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
    parts = [parse_entity_key(entity) for entity in entities]
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
    mismatches: tuple[tuple[str, int, float, float], ...]


def compare(
    expected: Mapping[str, NDArray[np.float64]], actual: Mapping[str, NDArray[np.float64]]
) -> Comparison:
    """Expected against actual columns; null (NaN) equals null. Every feature must be there."""
    assert set(expected) == set(actual), set(expected) ^ set(actual)
    mismatches: list[tuple[str, int, float, float]] = []
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
