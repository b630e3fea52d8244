"""Point-in-time on Spark: points and rows tagged in one frame, one shuffle, then the kernel.

Each kind of entity (one tuple of join keys) contributes its points and, per source, its rows;
all of them are hashed by (kind, keys) in the same exchange, so an entity's rows and points
meet in one partition whatever the number of views. There the kernel answers view by view,
never per entity and never by a range join. What comes back is narrow: the point, its kind and
one array of values. The price is that a partition must fit into a worker's memory, so the
number of partitions follows the size of the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use
from pyspark.sql.types import ArrayType, DoubleType, IntegerType, StringType, StructType

from core.features.plan import ViewPlan
from spark_jobs.crash import CrashPoints
from spark_jobs.tables import struct
from stores.frames.frames import view_table

POINT_TAG = -1
BYTES_A_PARTITION = 32 * 2**20
"""Compressed bytes of events that one partition is planned for: some two million rows."""


@dataclass(frozen=True)
class Kind:
    """One kind of entity: its join keys and the views that answer for it, in order."""

    join_keys: tuple[str, ...]
    views: tuple[ViewPlan, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """Sources of its views, each once."""
        return tuple(dict.fromkeys(view.source for view in self.views))

    @property
    def features(self) -> tuple[str, ...]:
        """Qualified features in the order of the array of values."""
        return tuple(f"{view.name}:{name}" for view in self.views for name in view.feature_names)


def kinds_of(views: Sequence[ViewPlan]) -> tuple[Kind, ...]:
    """Views grouped by their join keys, in order of first use."""
    groups: dict[tuple[str, ...], list[ViewPlan]] = {}
    for view in views:
        groups.setdefault(view.join_keys, []).append(view)
    return tuple(Kind(keys, tuple(group)) for keys, group in groups.items())


def payload_of(views: Sequence[ViewPlan], source: str) -> tuple[str, ...]:
    """Columns of ``source`` that the views read, each once."""
    names = (name for view in views if view.source == source for name in view.columns)
    return tuple(dict.fromkeys(names))


def partitions_for(n_bytes: int, at_least: int) -> int:
    """Partitions for tables of that many bytes.

    Examples
    --------
    >>> partitions_for(0, 2), partitions_for(10 * BYTES_A_PARTITION, 2)
    (2, 10)
    """
    return max(at_least, -(-n_bytes // BYTES_A_PARTITION))


def point_in_time(
    views: Sequence[ViewPlan],
    events: Mapping[str, DataFrame],
    points: DataFrame,
    *,
    partitions: int,
    crash: CrashPoints = CrashPoints(),  # noqa: B008 - frozen, and says that none is set
) -> DataFrame:
    """Values of all features at all points.

    Parameters
    ----------
    views
        What to compute.
    events
        Events table by source name; rows beyond what the views need only cost time.
    points
        ``point_id`` (string, unique), the join keys of every view, ``event_timestamp`` and
        ``known_at`` (null means the point's own instant).
    partitions
        Of the exchange; see `partitions_for`.

    Returns
    -------
    DataFrame
        ``point_id`` and one column ``values_<k>`` a kind of `kinds_of`: an array of float64
        in the order of the kind's features, NaN for null. One row a point, in no order.
    """
    kinds = kinds_of(views)
    sources = tuple(dict.fromkeys(view.source for view in views))
    payload = {source: payload_of(views, source) for source in sources}
    width = max(len(kind.join_keys) for kind in kinds)
    frames = [_tagged_points(points, index, kind, width) for index, kind in enumerate(kinds)]
    for index, kind in enumerate(kinds):
        frames += [
            _tagged_rows(events[source], index, kind, sources.index(source), payload, width)
            for source in kind.sources
        ]
    tagged = reduce(lambda a, b: a.unionByName(b, allowMissingColumns=True), frames)
    keys = [F.col(f"k{place}") for place in range(width)]
    host = PartitionHost(kinds, sources, payload, crash)
    answers = tagged.repartition(partitions, F.col("kind"), *keys).mapInArrow(host, ANSWERS)
    picked = [
        F.first(F.when(F.col("kind") == index, F.col("values")), ignorenulls=True).alias(
            f"values_{index}"
        )
        for index in range(len(kinds))
    ]
    return answers.groupBy("point_id").agg(*picked)


ANSWERS: StructType = struct(
    point_id=StringType(), kind=IntegerType(), values=ArrayType(DoubleType())
)


def _keys(kind: Kind, width: int) -> list[Column]:
    """Join keys as text, which is how an entity key spells integers too."""
    texts = [
        F.col(name).cast("string").alias(f"k{place}") for place, name in enumerate(kind.join_keys)
    ]
    spare = range(len(texts), width)
    return texts + [F.lit(None).cast("string").alias(f"k{place}") for place in spare]


def _tagged_points(points: DataFrame, index: int, kind: Kind, width: int) -> DataFrame:
    return points.select(
        F.lit(index).alias("kind"),
        F.lit(POINT_TAG).alias("tag"),
        *_keys(kind, width),
        F.col("point_id").alias("row_id"),
        "event_timestamp",
        F.coalesce("known_at", "event_timestamp").alias("known_at"),
    )


def _tagged_rows(
    events: DataFrame,
    index: int,
    kind: Kind,
    tag: int,
    payload: Mapping[str, tuple[str, ...]],
    width: int,
) -> DataFrame:
    source = tuple(payload)[tag]
    return events.select(
        F.lit(index).alias("kind"),
        F.lit(tag).alias("tag"),
        *_keys(kind, width),
        F.col("event_id").alias("row_id"),
        "event_timestamp",
        F.col("available_at").alias("known_at"),
        "position",
        *[F.col(name).alias(f"s{tag}_{name}") for name in payload[source]],
    )


@dataclass(frozen=True)
class PartitionHost:
    """The kernel over one whole partition; travels to the workers."""

    kinds: tuple[Kind, ...]
    sources: tuple[str, ...]
    payload: Mapping[str, tuple[str, ...]]
    crash: CrashPoints

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Answers of one partition."""
        collected = list(batches)
        if not collected:
            return
        self.crash.reach("training_set.in_worker")
        table = pa.Table.from_batches(collected)
        for index, kind in enumerate(self.kinds):
            part = table.filter(pc.equal(table["kind"], index))
            points = part.filter(pc.equal(part["tag"], POINT_TAG))
            if points.num_rows:
                yield self._answers(index, kind, part, points)

    def _answers(self, index: int, kind: Kind, part: pa.Table, points: pa.Table) -> pa.RecordBatch:
        asked = pa.table(
            {
                **_named_keys(points, kind),
                "event_timestamp": points["event_timestamp"],
                "known_at": points["known_at"],
            }
        )
        rows = {source: self._rows(part, kind, source) for source in kind.sources}
        columns = []
        for view in kind.views:
            answered = view_table(view, rows[view.source], asked)
            columns += [_floats(column) for column in answered.columns]
        matrix = np.column_stack(columns)
        offsets = np.arange(len(matrix) + 1, dtype=np.int32) * matrix.shape[1]
        values = pa.ListArray.from_arrays(pa.array(offsets), pa.array(matrix.reshape(-1)))
        kinds = pa.array(np.full(len(matrix), index, np.int32))
        ids = points["row_id"].combine_chunks()
        return pa.RecordBatch.from_arrays([ids, kinds, values], ["point_id", "kind", "values"])

    def _rows(self, part: pa.Table, kind: Kind, source: str) -> pa.Table:
        tag = self.sources.index(source)
        rows = part.filter(pc.equal(part["tag"], tag))
        return pa.table(
            {
                "event_id": rows["row_id"],
                "event_timestamp": rows["event_timestamp"],
                "available_at": rows["known_at"],
                "position": rows["position"],
                **{name: rows[f"s{tag}_{name}"] for name in self.payload[source]},
                **_named_keys(rows, kind),
            }
        )


def _named_keys(table: pa.Table, kind: Kind) -> dict[str, pa.ChunkedArray]:
    return {name: table[f"k{place}"] for place, name in enumerate(kind.join_keys)}


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.to_numpy(), dtype=np.float64)
