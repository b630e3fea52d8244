"""Seeded data of the benchmarks: card-like rows, points, and feature rows for peers.

Entities follow a Zipf law with exponent 0.7 (the most frequent of 100,000 has about 1 % of the
rows), 90 days, 0.5 % of rows arrive late, ids are strings as in real tables.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.clock import DAY_MS, date_start_ms
from core.features.keys import position
from core.features.plan import AttributeFeature, ViewPlan, WindowFeature
from core.features.windows import DEFAULT_GRIDS, spell_duration

START_MS = date_start_ms("2025-01-01")
DAYS = 90
ENTITIES = 100_000
TIMESTAMP = pa.timestamp("us", tz="UTC")
WINDOWS_MS = (3_600_000, 86_400_000, 604_800_000)
FUNCTIONS = ("count", "sum", "mean", "max")

ACTIVITY = ViewPlan(
    name="activity_v1",
    entity="card",
    join_keys=("card_id",),
    source="transactions",
    columns={"amount_minor": "int64"},
    windows=tuple(
        WindowFeature(
            name=f"amount_minor_{function}_{spell_duration(window_ms)}",
            function=function,
            column="amount_minor",
            window_ms=window_ms,
            grid_ms=DEFAULT_GRIDS[window_ms],
        )
        for window_ms in WINDOWS_MS
        for function in FUNCTIONS
    ),
)
PROFILE = ViewPlan(
    name="profile_v1",
    entity="card",
    join_keys=("card_id",),
    source="profiles",
    columns={"limit_minor": "int64"},
    attributes=(AttributeFeature(name="limit_minor", column="limit_minor"),),
    ttl_ms=400 * DAY_MS,
)


def _entities(generator: np.random.Generator, n: int) -> NDArray[np.int64]:
    weights = np.arange(1, ENTITIES + 1, dtype=np.float64) ** -0.7
    edges = np.cumsum(weights / weights.sum())
    return np.minimum(np.searchsorted(edges, generator.random(n)), ENTITIES - 1)


def _card_ids(codes: NDArray[np.int64]) -> pa.Array:
    names = pa.array([f"card-{i:06d}" for i in range(ENTITIES)])
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), names).cast(pa.string())


def _times(instants_ms: NDArray[np.int64]) -> pa.Array:
    return pa.array(instants_ms * 1_000, pa.int64()).cast(TIMESTAMP)


def _ids(prefix: str, n: int) -> pa.Array:
    return pa.array(np.char.add(prefix, np.arange(n).astype("U10")))


def event_rows(
    n: int, *, seed: int = 7, epoch: int = 1, first_day: int = 0, days: int = DAYS
) -> pa.Table:
    """``n`` transactions of one epoch in the columns of an events table, in order of arrival."""
    generator = np.random.default_rng(seed)
    start_ms = START_MS + first_day * DAY_MS
    event_ms = start_ms + generator.integers(0, days * DAY_MS, n)
    delay_ms = np.where(generator.random(n) < 0.005, generator.integers(0, DAY_MS, n), 0)
    order = np.argsort(event_ms + delay_ms, kind="stable")
    event_ms, available_ms = event_ms[order], (event_ms + delay_ms)[order]
    return pa.table(
        {
            "event_id": _ids("t" if epoch == 1 else f"t{epoch}-", n),
            "event_timestamp": _times(event_ms),
            "ingested_at": _times(available_ms),
            "available_at": _times(available_ms),
            "position": pa.array(np.arange(n, dtype=np.int64) + position(epoch, 0)),
            "card_id": _card_ids(_entities(generator, n)),
            "amount_minor": pa.array(generator.lognormal(8, 1, n).astype(np.int64) + 1),
        }
    )


def profile_rows(*, seed: int = 8) -> pa.Table:
    """Two profile rows for every card, at the start and somewhere later."""
    generator = np.random.default_rng(seed)
    n = 2 * ENTITIES
    event_ms = np.full(n, START_MS)
    event_ms[ENTITIES:] += generator.integers(0, DAYS * DAY_MS, ENTITIES)
    return pa.table(
        {
            "event_id": _ids("p", n),
            "event_timestamp": _times(event_ms),
            "ingested_at": _times(event_ms),
            "available_at": _times(event_ms),
            "position": pa.array(np.arange(n, dtype=np.int64) + position(1, 0)),
            "card_id": _card_ids(np.tile(np.arange(ENTITIES), 2)),
            "limit_minor": pa.array(generator.integers(50_000, 5_000_000, n)),
        }
    )


def point_rows(n: int, *, seed: int = 9) -> pa.Table:
    """``n`` points (card, instant) over the last 60 of the 90 days."""
    generator = np.random.default_rng(seed)
    at_ms = START_MS + generator.integers(30 * DAY_MS, DAYS * DAY_MS, n)
    return pa.table(
        {
            "example_id": _ids("e", n),
            "card_id": _card_ids(_entities(generator, n)),
            "event_timestamp": _times(at_ms),
        }
    )


def written(directory: Path, rows: int, points: int) -> Path:
    """Folder with ``rows.parquet``, ``profiles.parquet`` and ``points.parquet``; made once."""
    folder = directory / f"{rows}x{points}"
    if not (folder / "points.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(event_rows(rows), folder / "rows.parquet")
        pq.write_table(profile_rows(), folder / "profiles.parquet")
        pq.write_table(point_rows(points), folder / "points.parquet")
    return folder


def with_peer_features(folder: Path) -> Path:
    """Add ``features.parquet``: the windows after every event, for peers that only join.

    One row a transaction, its twelve values as they stand one millisecond later: what a team
    without windows in the join would compute in a pipeline of its own and store.
    """
    from stores.frames.frames import view_table

    target = folder / "features.parquet"
    if not target.exists():
        rows = pq.read_table(folder / "rows.parquet")
        later = pc.add(rows["event_timestamp"], pa.scalar(1_000, pa.duration("us")))
        points = pa.table({"card_id": rows["card_id"], "event_timestamp": later})
        values = view_table(ACTIVITY, rows, points)
        columns = {"card_id": rows["card_id"], "event_timestamp": rows["event_timestamp"]}
        for window, column in zip(ACTIVITY.windows, values.column_names, strict=True):
            columns[window.name] = values[column]
        pq.write_table(pa.table(columns), target)
    return folder
