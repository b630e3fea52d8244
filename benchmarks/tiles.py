"""Tiles: a full build and two updates, against plain Spark on the same Delta table.

``python -m benchmarks.tiles CASE FOLDER``: one case in this process, one JSON line. FOLDER
holds ``rows.parquet`` of `benchmarks.data` and gets the events table made of it. Every case
first runs on three dates, so that the compilers and the workers are warm on both sides.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use
from pyspark.sql.window import Window

from benchmarks.data import ACTIVITY, DAYS, START_MS, WINDOWS_MS, event_rows
from benchmarks.measure import Pass, reported
from benchmarks.sessions import PARTITIONS, PROFILE, bench_session, scratch_folder
from core.clock import DAY_MS, event_date
from core.features.windows import spell_duration
from spark_jobs import tiles
from spark_jobs.delta import APP_ID, APP_VERSION
from spark_jobs.ingest import WRITER as INGEST
from spark_jobs.job import date_condition
from stores.layout import Layout

SOURCE = ACTIVITY.source
DATES = tuple(event_date(START_MS + day * DAY_MS) for day in range(DAYS))
WARM_UP = DATES[:3]
UPDATED_DAY, SPREAD_DAYS = 60, 30
NAMED = {"count": F.count, "sum": F.sum, "mean": F.avg, "max": F.max}


def events(folder: Path) -> dict[str, object]:
    """The events table, by event date, as one epoch of ingest leaves it; made once."""
    layout = Layout(folder / "state")
    with Pass() as timed:
        if not Path(layout.events(SOURCE), "_delta_log").exists():
            with bench_session() as spark:
                rows = spark.read.parquet(str(folder / "rows.parquet"))
                dated = rows.withColumn("event_date", F.to_date("event_timestamp"))
                _append(dated.repartition(PARTITIONS, "event_date"), layout, epoch=1)
    n_rows = pq.read_metadata(folder / "rows.parquet").num_rows
    return {"seconds": timed.seconds, "rows": n_rows, "profile": PROFILE}


def build(folder: Path) -> dict[str, object]:
    """Ours: all dates, then 1 % new rows in one date, then 1 % spread over thirty."""
    with scratch_folder(folder) as root, bench_session() as spark:
        layout = _copy_of(folder, root)
        _build(spark, Layout(root / "warm"), folder, WARM_UP)
        with Pass() as full:
            whole = _run(spark, layout, DATES)
        n_new = whole.rows_read // 100
        with_one = event_rows(n_new, seed=21, epoch=2, first_day=UPDATED_DAY, days=1)
        one, one_report = _update(spark, layout, with_one, 2, root)
        spread = event_rows(n_new, seed=22, epoch=3, first_day=DAYS - SPREAD_DAYS, days=SPREAD_DAYS)
        thirty, thirty_report = _update(spark, layout, spread, 3, root)
    return {
        **reported([full]),
        "rows_read": whole.rows_read,
        "tiles": sum(whole.tiles.values()),
        "one_date": {**reported([one]), "rows_read": one_report.rows_read},
        "thirty_dates": {**reported([thirty]), "rows_read": thirty_report.rows_read},
        "profile": PROFILE,
    }


def windows(folder: Path) -> dict[str, object]:
    """Plain Spark: twelve aggregates over three range windows at every row, to Delta."""
    return _plain(folder, _range_windows)


def group_by(folder: Path) -> dict[str, object]:
    """Plain Spark: count, sum and max by card and interval, three grids, to Delta."""
    return _plain(folder, _grouped)


def _plain(folder: Path, answer: Callable[[DataFrame], DataFrame]) -> dict[str, object]:
    table = Layout(folder / "state").events(SOURCE)
    with scratch_folder(folder) as root, bench_session() as spark:
        rows = spark.read.format("delta").load(table)
        _write(answer(rows.where(date_condition(WARM_UP))), root / "warm")
        with Pass() as full:
            _write(answer(rows), root / "answer")
        n_rows = spark.read.format("delta").load(str(root / "answer")).count()
    return {**reported([full]), "rows_written": n_rows, "profile": PROFILE}


def _write(frame: DataFrame, target: Path) -> None:
    """Partitioned by event date, one file a date and task: fewer files than as they come."""
    dealt = frame.repartition(PARTITIONS, "event_date")
    dealt.write.format("delta").partitionBy("event_date").save(str(target))


def _range_windows(rows: DataFrame) -> DataFrame:
    timed = rows.select(
        "event_id",
        "card_id",
        "event_timestamp",
        "event_date",
        "amount_minor",
        F.unix_millis("event_timestamp").alias("event_ms"),
    )
    columns = {}
    for window_ms in WINDOWS_MS:
        over = Window.partitionBy("card_id").orderBy("event_ms").rangeBetween(-window_ms, -1)
        for name, function in NAMED.items():
            label = f"amount_minor_{name}_{spell_duration(window_ms)}"
            columns[label] = function("amount_minor").over(over)
    return timed.withColumns(columns).drop("event_ms", "amount_minor")


def _grouped(rows: DataFrame) -> DataFrame:
    grids = F.explode(F.array([F.lit(grid_ms) for grid_ms in ACTIVITY.grids_ms]))
    at_ms = F.unix_millis("event_timestamp")
    tiled = rows.select(
        "card_id", "event_date", "amount_minor", at_ms.alias("event_ms"), grids.alias("grid_ms")
    )
    start = F.col("event_ms") - F.col("event_ms") % F.col("grid_ms")
    return tiled.groupBy("card_id", "event_date", "grid_ms", start.alias("tile_start_ms")).agg(
        F.max("event_ms").alias("newest_ms"),
        F.count("amount_minor").alias("amount_minor__count"),
        F.sum("amount_minor").alias("amount_minor__sum"),
        F.max("amount_minor").alias("amount_minor__max"),
    )


def _append(dated: DataFrame, layout: Layout, *, epoch: int) -> None:
    """As ingest commits: the epoch is the writer's number."""
    writer = dated.write.format("delta").mode("append").partitionBy("event_date")
    writer = writer.option(APP_ID.rpartition(".")[2], INGEST)
    writer.option(APP_VERSION.rpartition(".")[2], epoch).save(layout.events(SOURCE))


def _run(spark: SparkSession, layout: Layout, dates: tuple[str, ...]) -> tiles.Report:
    arguments = tiles.Arguments(
        root=str(layout.root), now_ms=START_MS + DAYS * DAY_MS, view=ACTIVITY, dates=dates
    )
    return tiles.run(spark, arguments)


def _build(spark: SparkSession, layout: Layout, folder: Path, dates: tuple[str, ...]) -> None:
    rows = spark.read.format("delta").load(Layout(folder / "state").events(SOURCE))
    _append(rows.where(date_condition(dates)), layout, epoch=1)
    _run(spark, layout, dates)


def _update(
    spark: SparkSession, layout: Layout, new: pa.Table, epoch: int, root: Path
) -> tuple[Pass, tiles.Report]:
    """Append ``new`` as an epoch (not timed), then the tiles of the dates that it touched."""
    pq.write_table(new, root / f"epoch-{epoch}.parquet")
    rows = spark.read.parquet(str(root / f"epoch-{epoch}.parquet"))
    dated = rows.withColumn("event_date", F.to_date("event_timestamp"))
    touched = tuple(str(row[0]) for row in dated.select("event_date").distinct().collect())
    _append(dated.repartition(PARTITIONS, "event_date"), layout, epoch=epoch)
    with Pass() as timed:
        report = _run(spark, layout, touched)
    return timed, report


def _copy_of(folder: Path, root: Path) -> Layout:
    """The events table again under ``root``, by hard links: its files never change."""
    prepared, layout = Layout(folder / "state"), Layout(root / "state")
    shutil.copytree(prepared.events(SOURCE), layout.events(SOURCE), copy_function=os.link)
    return layout


CASES = {"events": events, "build": build, "windows": windows, "group_by": group_by}


def main() -> None:
    case, folder = sys.argv[1], Path(sys.argv[2])
    print(json.dumps(CASES[case](folder)))


if __name__ == "__main__":
    main()
