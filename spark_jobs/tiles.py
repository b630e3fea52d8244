"""Tiles of one view, whole event dates at a time, as of one epoch of the source's log.

The dates asked for are recomputed from all their rows and put in the place of what was there
(``replaceWhere``), so late rows are corrected and a rerun changes nothing. So are the dates
that epochs since the last commit have touched: the table as a whole always stands for exactly
the rows up to the epoch that its commit names, which is what online base values rest on.
Intervals divide a day, so a date never needs a row of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use

from core.clock import DAY_MS
from core.errors import ConfigurationError, NotReadyError
from core.features.keys import entity_key, position
from core.features.partials import keeps_ties
from core.features.plan import ViewPlan
from core.features.tiles import build_tiles, tile_columns
from spark_jobs.crash import CrashPoints
from spark_jobs.delta import (
    Commit,
    local_path,
    read_table,
    replace_where,
    size_bytes,
    state_of,
    table_lock,
    writer_number,
)
from spark_jobs.host import partitions_for
from spark_jobs.ingest import WRITER as INGEST
from spark_jobs.job import EventDates, JobArguments, JobReport, date_condition, run_main
from spark_jobs.tables import tiles_schema, tiles_table
from stores.frames.frames import entity_rows

WRITER = "tiles"
ARROW_KINDS = {"int64": pa.int64(), "float64": pa.float64(), "binary": pa.binary()}
EPOCH_SHIFT = 20
"""The writer's number is the epoch, shifted, plus a count of commits at that epoch."""


class Arguments(JobArguments):
    """Recompute the tiles of ``view`` for ``dates``."""

    view: ViewPlan
    dates: EventDates
    partitions: int = 2


class Report(JobReport):
    """What was recomputed: ``dates`` are those asked for and those touched since."""

    view: str
    dates: tuple[str, ...]
    rows_read: int
    tiles: dict[str, int]
    epoch: int
    events_version: int
    version: int


def run(spark: SparkSession, arguments: Arguments) -> Report:
    """Recompute and replace, under the lock of the tiles table."""
    view, layout = arguments.view, arguments.layout
    crash = CrashPoints.of(arguments.crash_at)
    if not view.windows:
        raise ConfigurationError(
            f"view {view.name} has no tiles",
            found="a view of attributes",
            remedy="ask for tiles of views of windows only",
        )
    table = tiles_table(layout, view.name, view.join_keys, tile_columns(view))
    with table_lock(table.uri):
        crash.reach("tiles.before_read")
        version, epoch = state_of(spark, layout.events(view.source), INGEST)
        if version < 0:
            raise NotReadyError(
                f"no tiles of {view.name} yet",
                found=f"no events of {view.source}",
                remedy=f"ingest {view.source} first",
            )
        events = read_table(spark, layout.events(view.source), version)
        number = writer_number(spark, table.uri, WRITER)
        touched = touched_dates(events, number >> EPOCH_SHIFT)
        dates = sorted({*arguments.dates, *touched})
        n_bytes = size_bytes(spark, layout.events(view.source))
        partitions = partitions_for(n_bytes, arguments.partitions)
        built = tiles_of(events, view, dates, partitions, crash)
        metadata = {"epoch": epoch, "read_versions": {view.source: version}}
        commit = Commit(WRITER, metadata, max(number + 1, epoch << EPOCH_SHIFT))
        with crash.writing("tiles.in_replace", local_path(table.uri)):
            written = replace_where(built, table, date_condition(dates), commit)
        crash.reach("tiles.after_replace")
    counts = read_table(spark, table.uri, written).where(date_condition(dates))
    return Report(
        view=view.name,
        dates=tuple(dates),
        rows_read=events.where(date_condition(dates)).count(),
        tiles={str(row[0]): row[1] for row in counts.groupBy("event_date").count().collect()},
        epoch=epoch,
        events_version=version,
        version=written,
    )


def touched_dates(events: DataFrame, after_epoch: int) -> list[str]:
    """Event dates with rows of epochs after ``after_epoch``; statistics skip older files."""
    newer = events.where(F.col("position") >= position(after_epoch + 1, 0))
    return [str(row[0]) for row in newer.select("event_date").distinct().collect()]


def tiles_of(
    events: DataFrame,
    view: ViewPlan,
    dates: Sequence[str],
    partitions: int,
    crash: CrashPoints = CrashPoints(),  # noqa: B008 - frozen, and says that none is set
) -> DataFrame:
    """Tiles of all entities for ``dates``.

    Many dates are dealt out whole, which makes one file each; a few are cut by entity too,
    so that all cores work.
    """
    names = ("event_timestamp", *(("event_id", "available_at") if keeps_ties(view) else ()))
    columns = list(dict.fromkeys((*names, "event_date", *view.join_keys, *view.columns)))
    rows = events.where(date_condition(dates)).select(columns).dropna(subset=list(view.join_keys))
    cut_by = ["event_date"] if len(dates) >= 2 * partitions else ["event_date", *view.join_keys]
    schema = tiles_schema(view.join_keys, tile_columns(view))
    return rows.repartition(partitions, *cut_by).mapInArrow(TileBuilder(view, crash), schema)


@dataclass(frozen=True)
class TileBuilder:
    """Rows of one partition into its tiles; travels to the workers."""

    view: ViewPlan
    crash: CrashPoints

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """As a function for ``mapInArrow``."""
        collected = list(batches)
        if collected:
            self.crash.reach("tiles.in_worker")
            yield from self.tiles(pa.Table.from_batches(collected)).to_batches()

    def tiles(self, rows: pa.Table) -> pa.Table:
        """Tiles of ``rows``, which hold whole dates."""
        coded = entity_rows(self.view, rows)
        ids = rows["event_id"].cast(pa.binary()).to_numpy() if keeps_ties(self.view) else None
        arrays = build_tiles(self.view, coded.rows, ids)
        codes = arrays["entity"]
        texts = {name: coded.keys[name].cast(pa.string()) for name in self.view.join_keys}
        parts = zip(*(column.to_pylist() for column in texts.values()), strict=True)
        keys = pa.array([entity_key(values) for values in parts], pa.binary())
        start_ms = arrays["tile_start_ms"]
        days = pa.array(np.floor_divide(start_ms, DAY_MS).astype(np.int32)).cast(pa.date32())
        return pa.table(
            {
                "entity": keys.take(pa.array(codes)),
                **{name: column.take(pa.array(codes)) for name, column in texts.items()},
                "grid_ms": pa.array(arrays["grid_ms"].astype(np.int32)),
                "tile_start_ms": pa.array(start_ms),
                "event_date": days,
                **{
                    name: pa.array(arrays[name], ARROW_KINDS[kind])
                    for name, kind in tile_columns(self.view)
                },
            }
        )


def main() -> int:
    """Start by hand or by Pipes."""
    return run_main(Arguments, run)


if __name__ == "__main__":
    raise SystemExit(main())
