"""All entities at one midnight: windows from tiles, attributes from rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use
from pyspark.sql.types import (
    ArrayType,
    DoubleType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from core.contracts import Source
from core.features.plan import Plan, ViewPlan
from core.features.tiles import tile_columns, tile_values
from spark_jobs.delta import read_table
from spark_jobs.examples import instant, pruned
from spark_jobs.host import payload_of
from spark_jobs.vectors import floats_of
from stores.frames.frames import view_table
from stores.layout import Layout

_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)


def tables_of(
    layout: Layout, plan: Plan, grain: Literal["example", "entity"], examples: Source | None
) -> list[tuple[str, str]]:
    """URI and short name of every table that scoring reads at this grain, each once."""
    if grain == "example":
        sources = [view.source for view in plan.views] + ([examples.name] if examples else [])
        found = [(layout.events(name), f"events/{name}") for name in sources]
    else:
        found = [
            (layout.tiles(view.name), f"tiles/{view.name}")
            if view.windows
            else (layout.events(view.source), f"events/{view.source}")
            for view in plan.views
        ]
    return list(dict.fromkeys(found))


def entities_at(
    spark: SparkSession,
    layout: Layout,
    plan: Plan,
    versions: dict[str, int],
    at_ms: int,
    *,
    partitions: int,
) -> DataFrame:
    """Every entity that the tables know, with all values at ``at_ms``, a midnight.

    Columns: the join keys as text, ``event_timestamp`` and ``values_0``, in the order of
    the plan's views, as `spark_jobs.host.point_in_time` gives them.
    """
    keys = plan.views[0].join_keys
    frames = []
    for tag, view in enumerate(plan.views):
        rows = _tiles(spark, layout, view, versions, at_ms) if view.windows else None
        if rows is None:
            rows = _rows(spark, layout, view, versions, at_ms)
        names = [F.col(key).cast("string").alias(key) for key in keys]
        others = [F.col(c).alias(f"v{tag}_{c}") for c in _columns(view)]
        frames.append(rows.select(F.lit(tag).alias("tag"), *names, *others))
    tagged = reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), frames)
    fields = [StructField(key, StringType()) for key in keys]
    fields += [
        StructField("event_timestamp", TimestampType()),
        StructField("values_0", ArrayType(DoubleType())),
    ]
    host = EntityHost(plan.views, keys, at_ms)
    return tagged.repartition(partitions, *keys).mapInArrow(host, StructType(fields))


def _tiles(
    spark: SparkSession, layout: Layout, view: ViewPlan, versions: dict[str, int], at_ms: int
) -> DataFrame:
    tiles = read_table(spark, layout.tiles(view.name), versions[f"tiles/{view.name}"])
    reach_ms = max(window.window_ms + window.grid_ms for window in view.windows)
    return tiles.where(
        (F.col("tile_start_ms") < at_ms) & (F.col("tile_start_ms") >= at_ms - reach_ms)
    )


def _rows(
    spark: SparkSession, layout: Layout, view: ViewPlan, versions: dict[str, int], at_ms: int
) -> DataFrame:
    events = read_table(spark, layout.events(view.source), versions[f"events/{view.source}"])
    near = pruned({view.source: events}, [view], first_ms=at_ms, last_ms=at_ms)[view.source]
    return near.where(F.col("available_at") <= instant(at_ms))


def _columns(view: ViewPlan) -> tuple[str, ...]:
    if view.windows:
        return ("grid_ms", "tile_start_ms", *(name for name, _ in tile_columns(view)))
    own = ("event_id", "event_timestamp", "available_at", "position")
    return (*own, *(n for n in payload_of([view], view.source) if n not in view.join_keys))


@dataclass(frozen=True)
class EntityHost:
    """Entities of one whole partition; travels to the workers."""

    views: tuple[ViewPlan, ...]
    keys: tuple[str, ...]
    at_ms: int

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """As a function for ``mapInArrow``."""
        collected = list(batches)
        if not collected:
            return
        table = pa.Table.from_batches(collected)
        entities = table.group_by(list(self.keys), use_threads=False).aggregate([])
        n = entities.num_rows
        stamp = pa.scalar(_EPOCH_START + timedelta(milliseconds=self.at_ms))
        stamps = pa.array([stamp.as_py()] * n, pa.timestamp("us", tz="UTC"))
        columns = []
        for tag, view in enumerate(self.views):
            part = table.filter(pc.equal(table["tag"], tag))
            columns += self._values(view, tag, part, entities, stamps)
        matrix = np.column_stack(columns)
        offsets = pa.array(np.arange(n + 1, dtype=np.int32) * matrix.shape[1])
        answer = {key: entities[key].combine_chunks() for key in self.keys}
        answer["event_timestamp"] = stamps
        answer["values_0"] = pa.ListArray.from_arrays(offsets, pa.array(matrix.reshape(-1)))
        yield pa.RecordBatch.from_pydict(answer)

    def _values(
        self, view: ViewPlan, tag: int, part: pa.Table, entities: pa.Table, stamps: pa.Array
    ) -> list[np.ndarray]:
        own = {name: part[f"v{tag}_{name}"] for name in _columns(view)}
        if view.attributes:
            rows = pa.table({**{key: part[key] for key in self.keys}, **own})
            answered = view_table(view, rows, entities.append_column("event_timestamp", stamps))
            return [floats_of(column.combine_chunks()) for column in answered.columns]
        places = entities.append_column("entity", pa.array(np.arange(entities.num_rows)))
        numbered = part.select(list(self.keys)).append_column(
            "row", pa.array(np.arange(part.num_rows))
        )
        coded = numbered.join(places, list(self.keys)).sort_by("row")
        arrays = {name: column.to_numpy() for name, column in own.items()}
        arrays["entity"] = coded["entity"].to_numpy().astype(np.int64)
        values = tile_values(view, arrays, self.at_ms, entities.num_rows)
        return [values[name] for name in view.feature_names]
