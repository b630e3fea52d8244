"""What worlds are drawn from: views, keys, points, rows and values on the edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.random import Generator

from core.features.keys import entity_key, position
from core.features.oracle import Row
from core.features.plan import AttributeFeature, ColumnType, ViewPlan, WindowFeature
from core.features.windows import DAY_MS, DEFAULT_GRIDS, spell_duration, window_start_ms

KeyType = Literal["string", "int64"]
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
ORIGINS_MS = (0, 1_780_000_000_000, -40 * DAY_MS, 3 * DAY_MS + 1)
SINGLE_KEYS = ("1", "11", "", " 1", "é", "e\u0301", "\U0001d7d9", "NULL", "1|1", "c1")
PAIR_KEYS = (("1", "11"), ("11", "1"), ("", "111"), ("111", ""), ("a,b", "c"), ("a", "b,c"))
MERCHANTS = ("m1", "M1", "m10", "m9", "", "Ł", "🐘", "m2", "m3", "m4", "m5")
ID_LETTERS = ("e", "E", "é", "~", "z", "𐀀", "\uffee")


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


def key_types_of(view: ViewPlan, rng: Generator, prefix: str) -> tuple[KeyType, ...]:
    """Types of the join key columns: mostly text, integers where no prefix is asked for."""
    is_integer = rng.random() < 0.25 and not prefix
    return ("int64" if is_integer else "string",) * len(view.join_keys)


def entities_of(
    view: ViewPlan, key_types: Sequence[KeyType], rng: Generator, prefix: str
) -> list[bytes]:
    """Six keys that look alike when joined; the last is meant to have no row."""
    keys: list[tuple[str, ...]]
    if key_types[0] == "int64":
        keys = [(str(n), str(11 - n))[: len(view.join_keys)] for n in (1, 11, -1, 0, 111)]
    elif len(view.join_keys) == 1:
        keys = [(prefix + key,) for key in SINGLE_KEYS]
    else:
        keys = [(prefix + first, second) for first, second in PAIR_KEYS]
    rng.shuffle(keys)
    return [entity_key(key) for key in keys[:6]]


def point_of(view: ViewPlan, rng: Generator, entities: Sequence[bytes], origin_ms: int) -> Point:
    """A point, often on a grid or beside it, with what was known then."""
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


def row_of(
    view: ViewPlan,
    rng: Generator,
    points: Sequence[Point],
    earlier: Sequence[Row],
    entity: bytes,
    prefix: str,
    number: int,
) -> Row:
    """A row near an edge of some point, often tied with an ``earlier`` row."""
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


def in_log_order(rng: Generator, rows: Sequence[Row]) -> list[Row]:
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
