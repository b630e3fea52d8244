"""Feast's online store: values computed at the instant of the read, by design's semantics.

``get_online_features`` answers each entity row at its ``event_timestamp``, or now. It reads
base and delta of every view in one round trip, merges them as the service does, applies the
request-time views by the same call, and gives a status to every value. Nothing is written
through Feast: batch writes base, the folder writes delta.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from feast import Entity, FeatureService, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.online_response import OnlineResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.type_map import feast_value_type_to_python_type

from core.clock import Clock, SystemClock
from core.errors import InvalidInputError
from core.features.blob import base_key, delta_key
from core.features.plan import Plan, ViewPlan
from core.features.reading import ViewReading, read_view
from core.features.transforms import apply_transforms
from core.ports import OnlineStore as OnlineStorePort
from feature_store.catalogue import catalogue_of_registry
from feature_store.compile import compile_vector, view_plan
from feature_store.offline import layout_of
from feature_store.online_answer import Answer, response_of
from feature_store.online_rows import OnlineRows
from stores.online import open_online_store
from stores.online.watermarks import covered_key, first_ms_of


class ThroughlineOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]  # Feast has no types
    """Which store holds the values: ``url``, else the embedded one under ``root``."""

    type: Literal["feature_store.online.ThroughlineOnlineStore"] = (
        "feature_store.online.ThroughlineOnlineStore"
    )
    url: str = ""
    root: str = "../.throughline"


def connect(config: RepoConfig) -> OnlineStorePort:
    """Store that a Feast configuration names."""
    settings = config.online_store
    layout = layout_of(config, settings.root)
    return open_online_store(settings.url or layout.online_url)


class ThroughlineOnlineStore(OnlineStore):  # type: ignore[misc]  # Feast has no types
    """Reads what the service reads; Feast makes one of it for a repository."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._store: OnlineStorePort | None = None
        self._plans: dict[tuple[str, ...], Plan] = {}

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Reads may be awaited."""
        return SupportedAsyncMethods(read=True, write=False)

    def get_online_features(
        self,
        config: RepoConfig,
        features: list[str] | FeatureService,
        entity_rows: Any,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        include_feature_view_version_metadata: bool = False,  # noqa: FBT001, FBT002
    ) -> OnlineResponse:
        """Values of ``features`` for every entity row, in the order of both.

        Raises
        ------
        InvalidInputError
            If a row lacks a join key or request field, or lies before what is kept
            (``at_too_old``).
        """
        plan = self._plan(features, registry, project)
        rows = OnlineRows.of(entity_rows, self.clock.now_ms())
        readings = self._readings(config, plan.views, rows)
        values = rows.request_arrays(plan)
        for view in plan.views:
            table = np.array([r.values for r in readings[view.name]], dtype=np.float64)
            for index, name in enumerate(view.feature_names):
                values[f"{view.name}:{name}"] = table[:, index]
        values |= apply_transforms(plan, values)
        return response_of(plan, rows, Answer(values, readings), has_full_names=full_feature_names)

    async def get_online_features_async(self, *args: Any, **kwargs: Any) -> OnlineResponse:
        """``get_online_features`` on a thread, so that the loop goes on."""
        return await asyncio.to_thread(self.get_online_features, *args, **kwargs)

    def _plan(
        self, features: list[str] | FeatureService, registry: BaseRegistry, project: str
    ) -> Plan:
        """Plan of what is asked; kept, since no definition may change under its name."""
        if isinstance(features, FeatureService):
            name, vector = features.name, _vector(features)
        else:
            name, vector = "online", list(features)
        key = (project, name, *vector)
        if key not in self._plans:
            catalogue = catalogue_of_registry(registry, project)
            self._plans[key] = compile_vector(name, vector, catalogue)
        return self._plans[key]

    def _readings(
        self, config: RepoConfig, views: Sequence[ViewPlan], rows: OnlineRows
    ) -> dict[str, list[ViewReading]]:
        """Reading of each row by view; every key is read once, all in one round trip.

        An entity's delta before its base: of many keys a store is asked in several commands, and
        between two of them batch may cover what the folder then drops.
        """
        keys = {view.name: rows.keys_of(view) for view in views}
        wanted: dict[bytes, None] = {covered_key(view.name): None for view in views}
        for name, entities in keys.items():
            for entity in entities:
                wanted[delta_key(name, entity)] = wanted[base_key(name, entity)] = None
        held = dict(zip(wanted, self._connected(config).read(list(wanted)), strict=True))
        first_ms = {view.name: first_ms_of(held[covered_key(view.name)]) for view in views}
        return {
            view.name: [
                read_view(
                    view,
                    held[base_key(view.name, entity)],
                    held[delta_key(view.name, entity)],
                    at_ms,
                    first_ms[view.name],
                )
                for entity, at_ms in zip(keys[view.name], rows.at_ms, strict=True)
            ]
            for view in views
        }

    def _connected(self, config: RepoConfig) -> OnlineStorePort:
        if self._store is None:
            self._store = connect(config)
        return self._store

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Values of one view now; for Feast's own paths, which know no other instant."""
        view = view_plan(table)
        columns: dict[str, list[Any]] = {name: [] for name in view.join_keys}
        for key in entity_keys:
            held = dict(zip(key.join_keys, key.entity_values, strict=True))
            for name in view.join_keys:
                columns[name].append(feast_value_type_to_python_type(held[name]))
        if not entity_keys:
            return []
        rows = OnlineRows.of(columns, self.clock.now_ms())
        readings = self._readings(config, [view], rows)[view.name]
        return [_feast_row(view, reading, requested_features) for reading in readings]

    async def online_read_async(
        self, *args: Any, **kwargs: Any
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """``online_read`` on a thread."""
        return await asyncio.to_thread(self.online_read, *args, **kwargs)

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Refused: a finished value cannot be merged with events, and would be lost."""
        raise InvalidInputError(
            f"values of {table.name!r} cannot be written through Feast",
            found=f"{len(data)} rows",
            remedy="send events of its source to the service, or run feast materialize",
        )

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,  # noqa: FBT001 - Feast's signature
    ) -> None:
        """Open the store, so that a wrong address fails at apply. Keys need no preparing."""
        self._connected(config)

    def teardown(
        self,
        config: RepoConfig,
        tables: Sequence[FeatureView],
        entities: Sequence[Entity],
    ) -> None:
        """Let go of the store. Values stay: the service may be reading them."""
        if self._store is not None:
            self._store.close()
            self._store = None


def _vector(service: FeatureService) -> list[str]:
    return [
        f"{projection.name}:{feature.name}"
        for projection in service.feature_view_projections
        for feature in projection.features
    ]


def _feast_row(
    view: ViewPlan, reading: ViewReading, requested: list[str] | None
) -> tuple[datetime | None, dict[str, Value] | None]:
    if reading.status in {"NOT_FOUND", "missing"}:
        return None, None
    values = {
        name: Value() if value is None else Value(double_val=value)
        for name, value in zip(view.feature_names, reading.values, strict=True)
        if requested is None or name in requested
    }
    newest_ms = reading.newest_ms
    return (None if newest_ms is None else datetime.fromtimestamp(newest_ms / 1_000, UTC)), values
