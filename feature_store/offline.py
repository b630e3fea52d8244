"""Feast's offline store: historical features by design's semantics.

Every row of the entity frame gets an answer, in its place: order, count and duplicates are
kept. A row is a point at its ``event_timestamp``; what was known is its ``known_at`` where
the frame has that column, else the same instant. Request-time views are applied here, by
the call that training and the service use, and not once more by Feast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from feast import FeatureView
from feast.data_source import DataSource
from feast.infra.offline_stores.offline_store import (
    OfflineStore,
    RetrievalJob,
    RetrievalMetadata,
)
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.saved_dataset import SavedDatasetStorage

from core.errors import InvalidInputError
from core.features.plan import Plan, feature_column
from feature_store.catalogue import catalogue_of
from feature_store.compile import compile_vector
from stores.frames.columns import instants_ms
from stores.frames.frames import plan_table
from stores.layout import Layout
from stores.tables import open_table, read_dates

ROW_COLUMNS = ("event_id", "event_timestamp", "available_at", "position")


class ThroughlineOfflineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]  # Feast has no types
    """Where the tables are: ``root`` is the state's folder, seen from feature_store.yaml."""

    type: Literal["feature_store.offline.ThroughlineOfflineStore"] = (
        "feature_store.offline.ThroughlineOfflineStore"
    )
    root: str = "../.throughline"
    lake: str = ""


def layout_of(config: RepoConfig, root: str, lake: str = "") -> Layout:
    """Layout of a Feast repository; a relative root starts at feature_store.yaml."""
    start = Path(config.repo_path) if config.repo_path else Path.cwd()
    return Layout((start / root).resolve(), lake=lake)


class ThroughlineOfflineStore(OfflineStore):  # type: ignore[misc]  # Feast has no types
    """Answers from the Delta event tables, in process."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        **kwargs: Any,
    ) -> RetrievalJob:
        """Job that answers ``entity_df``; nothing is read before it is asked for its result."""
        if not isinstance(entity_df, pd.DataFrame):
            raise InvalidInputError(
                "historical features are asked for without points",
                found=f"entity_df = {type(entity_df).__name__}, {sorted(kwargs)}",
                remedy="give a data frame with join keys and event_timestamp",
            )
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        catalogue = catalogue_of([*feature_views, *on_demand])
        plan = compile_vector("historical", feature_refs, catalogue)
        store = config.offline_store
        return HistoricalJob(
            plan=plan,
            layout=layout_of(config, store.root, store.lake),
            entity_rows=pa.Table.from_pandas(entity_df, preserve_index=False),
            has_full_names=full_feature_names,
        )

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Refused: values of features are not columns of a source."""
        raise _use_engine("pull_all_from_table_or_query", data_source.name)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """Refused: values of features are not columns of a source."""
        raise _use_engine("pull_latest_from_table_or_query", data_source.name)

    @staticmethod
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Refused: rows come in through a source's log, where they are checked."""
        raise InvalidInputError(
            f"rows of {feature_view.name!r} cannot be written through Feast",
            remedy="send events of its source to the service, or ingest a file of them",
        )


def _use_engine(method: str, source: str) -> InvalidInputError:
    return InvalidInputError(
        f"{method} cannot answer from {source!r}",
        found="a source of rows, from which features are computed",
        remedy="ask get_historical_features, or materialise with our batch_engine",
    )


@dataclass
class HistoricalJob(RetrievalJob):  # type: ignore[misc]  # Feast has no types
    """Historical features of given points; computed once, when first asked for."""

    plan: Plan
    layout: Layout
    entity_rows: pa.Table
    has_full_names: bool
    _result: pa.Table | None = None

    @property
    def full_feature_names(self) -> bool:
        """Whether columns are ``view__feature``."""
        return self.has_full_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """None that Feast should apply: the result holds their values already."""
        return []

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """Features, and the columns of the entity frame."""
        return RetrievalMetadata(
            features=list(self.plan.vector), keys=list(self.entity_rows.column_names)
        )

    def persist(
        self,
        storage: SavedDatasetStorage,
        allow_overwrite: bool = False,  # noqa: FBT001, FBT002 - Feast's signature
        timeout: int | None = None,
    ) -> None:
        """Refused: training sets are kept as snapshots of our own."""
        raise InvalidInputError(
            "a retrieval cannot be persisted through Feast",
            remedy="materialise the use case's training set",
        )

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        if self._result is None:
            self._result = self._computed()
        return self._result

    def _computed(self) -> pa.Table:
        points = points_of(self.entity_rows, self.plan)
        result = self.entity_rows
        if not points.num_rows:
            columns = [pa.array([], pa.float64()) for _ in self.plan.vector]
        else:
            columns = plan_table(self.plan, self._rows(points), points).columns
        for qualified, column in zip(self.plan.vector, columns, strict=True):
            name = feature_column(qualified) if self.has_full_names else qualified.split(":")[1]
            result = result.append_column(name, column)
        return result

    def _rows(self, points: pa.Table) -> dict[str, pa.Table]:
        """Rows of each source that any point can look back to."""
        at_ms = instants_ms(points, "event_timestamp")
        earliest_ms, latest_ms = int(at_ms.min()), int(at_ms.max())
        needs: dict[str, tuple[dict[str, None], int | None]] = {}
        for view in self.plan.views:
            reach_ms = max((w.window_ms + w.grid_ms for w in view.windows), default=view.ttl_ms)
            columns, longest = needs.get(view.source, ({}, 0))
            columns |= dict.fromkeys((*ROW_COLUMNS, *view.join_keys, *view.columns))
            unbounded = reach_ms is None or longest is None
            needs[view.source] = (columns, None if unbounded else max(reach_ms or 0, longest or 0))
        return {
            source: read_dates(
                open_table(self.layout.events(source)),
                columns,
                from_ms=None if reach_ms is None else earliest_ms - reach_ms,
                to_ms=latest_ms,
            )
            for source, (columns, reach_ms) in needs.items()
        }


def points_of(entity_rows: pa.Table, plan: Plan) -> pa.Table:
    """Points of an entity frame: join keys, instants, request fields; in its order.

    Raises
    ------
    InvalidInputError
        If a column is missing, or an instant or a join key is null.
    """
    keys = [key for join_keys in plan.entities.values() for key in join_keys]
    needed = list(dict.fromkeys(["event_timestamp", *keys]))
    fields = [field.name for field in plan.request_fields]
    _refuse_missing(entity_rows, [*needed, *fields])
    optional = ["known_at"] if "known_at" in entity_rows.column_names else []
    points = entity_rows.select([*needed, *optional, *fields])
    for name in needed:
        if points[name].null_count:
            raise InvalidInputError(
                f"{name!r} is null in {points[name].null_count} of {points.num_rows} points",
                remedy="say for every point when it is and what it is about",
            )
    for name in ["event_timestamp", *optional]:
        at = points.column_names.index(name)
        points = points.set_column(at, name, _instants(name, points[name]))
    return points


def _refuse_missing(entity_rows: pa.Table, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in entity_rows.column_names]
    if missing:
        raise InvalidInputError(
            f"the entity frame lacks {', '.join(missing)}",
            found=", ".join(entity_rows.column_names),
            remedy="add join keys, event_timestamp and the request fields of the features",
        )


def _instants(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Instants in UTC; what has no zone is taken as UTC."""
    if not pa.types.is_timestamp(column.type):
        raise InvalidInputError(
            f"{name!r} does not hold instants",
            found=str(column.type),
            remedy="convert it with pandas.to_datetime(..., utc=True)",
        )
    return column.cast(pa.timestamp(column.type.unit, tz="UTC"))
