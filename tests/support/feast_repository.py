"""Feast repositories over our stores, and worlds declared as Feast objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import world_drawing as drawing
from batches import arrays_of
from deltalake import CommitProperties, write_deltalake
from entity_parts import parts_of
from feast import Entity, FeatureStore, FeatureView, PushSource, RepoConfig
from feast.aggregation import Aggregation
from worlds import World, points_table, rows_table, world_of

from core.clock import event_date
from core.contracts import FieldSpec, Source
from core.features.keys import epoch_of
from core.features.oracle import Row
from core.features.plan import ColumnType, ViewPlan
from core.features.tiles import build_tiles, tile_columns
from core.features.windows import spell_duration
from feature_store.compile import view_plan
from stores.layout import Layout
from use_cases.builders import attributes, entity, source_of, windows
from use_cases.fraud import features as fraud
from use_cases.handbook.features import fraud_without_profile_v1

OWNER = "tests@throughline.example"

# The declared use cases.
OBJECTS = [
    fraud.card,
    fraud.terminal,
    fraud.transactions,
    fraud.fraud_labels,
    fraud.card_profiles,
    fraud.card_activity_v1,
    fraud.terminal_activity_v1,
    fraud.terminal_risk_v1,
    fraud.card_profile_v1,
    fraud.payment_v1,
    fraud.standing_v1,
    fraud.fraud_v1,
    fraud_without_profile_v1,
]
WINDOWS = [fraud.card_activity_v1, fraud.terminal_activity_v1, fraud.terminal_risk_v1]


def repository(root: Path, *, url: str = "") -> FeatureStore:
    """Repository whose stores and engine are ours; tables and registry below ``root``."""
    config = RepoConfig(
        project="proofs",
        provider="local",
        registry=str(root / "registry.db"),
        offline_store={
            "type": "feature_store.offline.ThroughlineOfflineStore",
            "root": str(root),
        },
        online_store={
            "type": "feature_store.online.ThroughlineOnlineStore",
            "root": str(root),
            "url": url,
        },
        batch_engine={
            "type": "feature_store.batch_engine.ThroughlineEngine",
            "root": str(root),
        },
        entity_key_serialization_version=3,
    )
    return FeatureStore(config=config)


@dataclass(frozen=True)
class Declared:
    """A world with the Feast objects that declare its view."""

    world: World
    source: PushSource
    entities: list[Entity]
    view: FeatureView

    @property
    def objects(self) -> list[Any]:
        return [self.source, *self.entities, self.view]

    @property
    def refs(self) -> list[str]:
        return [f"{self.view.name}:{name}" for name in self.world.view.feature_names]


def declared_worlds(seed: int, n: int, *, n_points: int) -> list[Declared]:
    """``n`` worlds, every third of attributes, each declared through the builders."""
    declared = []
    for index in range(n):
        rng = np.random.default_rng([seed, index])
        name = f"world_{seed}_{index}_v1"
        view = (
            drawing.attribute_view(rng, name) if index % 3 == 2 else drawing.window_view(rng, name)
        )
        world = world_of(_declarable(view), rng, n_points=n_points)
        declared.append(declare(world))
    return declared


def _declarable(view: ViewPlan) -> ViewPlan:
    """The view without sums of instants, which builders refuse."""
    kept = tuple(
        window
        for window in view.windows
        if view.columns[window.column] != "timestamp" or window.function in drawing.COUNTERS
    )
    read = {window.column for window in kept} or set(view.columns)
    columns = {name: kind for name, kind in view.columns.items() if name in read}
    return view.model_copy(update={"windows": kept, "columns": columns})


def declare(world: World) -> Declared:
    """Feast objects of a world; they must compile to the very view of the world."""
    view = world.view
    kinds = dict(zip(view.join_keys, world.key_types, strict=True))
    source = source_of(_source(view, kinds))
    entities = [entity(f"by_{key}", key, key_type=kind) for key, kind in kinds.items()]
    if view.windows:
        made = windows(
            view.name,
            source,
            entities,
            [_aggregation(w) for w in view.windows],
            owner=OWNER,
            centres={w.column: w.centre for w in view.windows if w.function == "stddev"},
        )
    else:
        ttl = None if view.ttl_ms is None else spell_duration(view.ttl_ms)
        made = attributes(view.name, source, entities, view.feature_names, ttl=ttl, owner=OWNER)
    compiled = view_plan(made)
    same = view.model_copy(update={"entity": compiled.entity, "windows": compiled.windows})
    assert compiled == same
    _assert_windows_equal(view, compiled)
    return Declared(replace(world, view=compiled), source, entities, made)


def _assert_windows_equal(wanted: ViewPlan, compiled: ViewPlan) -> None:
    """Centres are one a column with the builders, one a feature in a drawn view."""
    for left, right in zip(wanted.windows, compiled.windows, strict=True):
        assert left.model_copy(update={"centre": 0.0}) == right.model_copy(update={"centre": 0.0})


def _source(view: ViewPlan, kinds: Mapping[str, ColumnType]) -> Source:
    categories = {attribute.column: attribute.categories for attribute in view.attributes}
    fields = [FieldSpec(name=key, type=kind) for key, kind in kinds.items()]
    fields += [
        FieldSpec(name=name, type=kind, is_nullable=True, allowed=categories.get(name, ()))
        for name, kind in view.columns.items()
    ]
    return Source(name=view.source, description="", owner=OWNER, fields=tuple(fields))


def _aggregation(window: Any) -> Aggregation:
    return Aggregation(
        column=window.column,
        function=window.function,
        time_window=timedelta(milliseconds=window.window_ms),
        slide_interval=timedelta(milliseconds=window.grid_ms),
        name=window.name,
    )


# --- tables -------------------------------------------------------------------------------


def write_table(uri: str, table: pa.Table, *, epoch: int, partition: bool = False) -> None:
    """One commit that says which epoch it is complete up to, as the jobs make it."""
    Path(uri).parent.mkdir(parents=True, exist_ok=True)
    write_deltalake(
        uri,
        table,
        mode="overwrite",
        partition_by=["event_date"] if partition else None,
        commit_properties=CommitProperties(
            custom_metadata={"userMetadata": json.dumps({"epoch": epoch})}
        ),
    )


def write_events(layout: Layout, world: World, *, partition: bool = False) -> None:
    """The world's rows as the events table of its source."""
    latest = max(epoch_of(row.position) for row in world.rows)
    uri = layout.events(world.view.source)
    write_table(uri, rows_table(world), epoch=latest, partition=partition)


def write_tiles(layout: Layout, world: World, *, epoch: int, partition: bool = False) -> None:
    """Tiles of the rows of epochs up to ``epoch``, as the tiles job writes them."""
    view = world.view
    rows = [row for row in world.rows if epoch_of(row.position) <= epoch]
    write_table(layout.tiles(view.name), tiles_of(view, rows), epoch=epoch, partition=partition)


def tiles_of(view: ViewPlan, rows: Sequence[Row]) -> pa.Table:
    """A tiles table: keys, grid, start, date, then the partials."""
    arrays, ids = arrays_of(view, rows)
    tiles = build_tiles(view, arrays, ids)
    keys = sorted({row.entity for row in rows})
    of_tile = [keys[code] for code in tiles["entity"]]
    columns: dict[str, pa.Array] = {"entity": pa.array(of_tile, pa.binary())}
    for place, name in enumerate(view.join_keys):
        columns[name] = pa.array([parts_of(key)[place] for key in of_tile], pa.string())
    columns["grid_ms"] = pa.array(tiles["grid_ms"], pa.int32())
    columns["tile_start_ms"] = pa.array(tiles["tile_start_ms"], pa.int64())
    days = [event_date(int(start)) for start in tiles["tile_start_ms"]]
    columns["event_date"] = pa.array(days, pa.string()).cast(pa.date32())
    kinds = {"int64": pa.int64(), "float64": pa.float64(), "binary": pa.binary()}
    for name, kind in tile_columns(view):
        columns[name] = pa.array(list(tiles[name]), kinds[kind])
    return pa.table(columns)


def write_rows(layout: Layout, source: Source, rows: Iterable[dict[str, Any]]) -> None:
    """Events table of a source from dictionaries; what they leave out has a plain default."""
    given = list(rows)
    micros = pa.timestamp("us", tz="UTC")
    columns: dict[str, Any] = {}
    ids = [row.get("event_id", f"e{n}") for n, row in enumerate(given)]
    columns["event_id"] = pa.array(ids, pa.string())
    event = [row["event_ms"] for row in given]
    available = [row.get("available_ms", at) for row, at in zip(given, event, strict=True)]
    for name, values in (
        ("event_timestamp", event),
        ("ingested_at", available),
        ("available_at", available),
    ):
        columns[name] = pa.array([v * 1_000 for v in values], pa.int64()).cast(micros)
    places = [row.get("position", 2**32 + n) for n, row in enumerate(given)]
    columns["position"] = pa.array(places, pa.int64())
    columns["partition"] = pa.array([0] * len(given), pa.int32())
    columns["payload_digest"] = columns["event_id"]
    kinds = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}
    for field in source.fields:
        columns[field.name] = pa.array([row.get(field.name) for row in given], kinds[field.type])
    days = [event_date(at) for at in event]
    columns["event_date"] = pa.array(days, pa.string()).cast(pa.date32())
    latest = max(map(epoch_of, places), default=0)
    write_table(layout.events(source.name), pa.table(columns), epoch=latest)


# --- asking -------------------------------------------------------------------------------


def entity_frame(world: World, *, with_known_at: bool = True) -> pd.DataFrame:
    """Points of a world as Feast's entity frame."""
    frame: pd.DataFrame = points_table(world).to_pandas()
    return frame if with_known_at else frame.drop(columns="known_at")


def historical(store: FeatureStore, frame: pd.DataFrame, features: Any, **more: Any) -> Any:
    """Historical features as a data frame, with full names."""
    job = store.get_historical_features(
        entity_df=frame, features=features, full_feature_names=True, **more
    )
    return job.to_df()


def instant(at_ms: int) -> datetime:
    """Aware datetime of an instant."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)


def entity_row(view: ViewPlan, key_types: Sequence[str], key: bytes, at_ms: int) -> dict[str, Any]:
    """One row of an online request."""
    parts = zip(view.join_keys, key_types, parts_of(key), strict=True)
    row: dict[str, Any] = {n: int(v) if kind == "int64" else v for n, kind, v in parts}
    return {**row, "event_timestamp": instant(at_ms)}
