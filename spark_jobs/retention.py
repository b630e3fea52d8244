"""Tables whose rows have had their time: partitions deleted, small files joined, history purged.

One table after the other under its lock, each in three steps that change nothing when they are
done again: one commit that deletes whole partitions; one that joins small files; a vacuum that
never goes below Delta's own safe age. Killed anywhere, the next sweep finishes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from delta.tables import DeltaTable
from pydantic import Field
from pyspark.sql import SparkSession

from core.features.plan import Frozen
from core.retention import NEWEST_REMOVED
from spark_jobs.crash import CrashPoints
from spark_jobs.delta import (
    Commit,
    committing,
    is_table,
    latest_version,
    local_path,
    table_lock,
)
from spark_jobs.job import JobArguments, JobReport, date_condition, run_main

WRITER = "retention"
SAFE_HOURS = 7 * 24
"""Delta refuses a vacuum of younger files: a reader or a writer may be at work on them."""

SMALL_BYTES = 16 * 2**20
MANY_FILES = 8
"""A partition with so many small files, on average, is written anew as few."""


class TableSweep(Frozen):
    """One table: the values of its partition column to delete, and the age of what is purged."""

    target: str
    uri: str
    column: Literal["event_date", "as_of", "snapshot"]
    due: tuple[str, ...] = ()
    history_hours: int = Field(ge=SAFE_HOURS)
    is_compacted: bool = True


class Arguments(JobArguments):
    """Sweep ``tables``, in the order given; one that does not exist is passed over."""

    tables: tuple[TableSweep, ...]


class TableSwept(Frozen):
    """What a sweep did. ``partitions`` were deleted in version ``version``, -1 when none were."""

    target: str
    partitions: int
    version: int
    partitions_compacted: int
    files_purged: int
    bytes_purged: int


class Report(JobReport):
    """What was done, table by table."""

    tables: tuple[TableSwept, ...]


def run(spark: SparkSession, arguments: Arguments) -> Report:
    """Delete, compact, purge."""
    crash = CrashPoints.of(arguments.crash_at)
    swept = []
    for table in arguments.tables:
        if is_table(spark, table.uri):
            with table_lock(table.uri):
                swept.append(_swept(spark, table, crash))
    return Report(tables=tuple(swept))


def _swept(spark: SparkSession, table: TableSweep, crash: CrashPoints) -> TableSwept:
    crash.reach("retention.before_delete")
    version = -1
    if table.due:
        with committing(spark, table.uri, Commit(WRITER, _said(table))):
            DeltaTable.forPath(spark, table.uri).delete(_condition(table))
        version = latest_version(spark, table.uri)
    crash.reach("retention.after_delete")
    n_compacted = _compact(spark, table) if table.is_compacted else 0
    crash.reach("retention.before_purge")
    before = _data_files(table.uri)
    DeltaTable.forPath(spark, table.uri).vacuum(float(table.history_hours))
    after = _data_files(table.uri)
    return TableSwept(
        target=table.target,
        partitions=len(table.due),
        version=version,
        partitions_compacted=n_compacted,
        files_purged=len(before) - len(after),
        bytes_purged=sum(before.values()) - sum(after.values()),
    )


def _said(table: TableSweep) -> dict[str, object]:
    """What the commit says: how much went, and of event dates up to which."""
    newest = {NEWEST_REMOVED: max(table.due)} if table.column == "event_date" else {}
    return {"partitions": len(table.due), **newest}


def _condition(table: TableSweep) -> str:
    if table.column == "snapshot":
        values = ", ".join(f"'{_plain(value)}'" for value in sorted(table.due))
        return f"snapshot IN ({values})"
    return date_condition(table.due, table.column)


def _plain(value: str) -> str:
    if not value.isalnum():
        raise ValueError("a snapshot's id is letters and digits")
    return value


def _compact(spark: SparkSession, table: TableSweep) -> int:
    """Join the files of partitions that have many small ones; how many partitions that were."""
    wanted = small_partitions(spark, table)
    if wanted:
        values = ", ".join(f"'{value}'" for value in wanted)
        target = DeltaTable.forPath(spark, table.uri).optimize()
        target.where(f"{table.column} IN ({values})").executeCompaction()
    return len(wanted)


def small_partitions(spark: SparkSession, table: TableSweep) -> list[str]:
    """Partitions of `MANY_FILES` files and more that are small on average, in order."""
    files = spark.read.format("delta").load(table.uri).inputFiles()
    held: dict[str, list[int]] = {}
    root = local_path(table.uri)
    for file in files:
        value = next((p for p in file.split("/") if p.startswith(f"{table.column}=")), "")
        path = local_path(file)
        n_bytes = path.stat().st_size if root is not None and path is not None else 0
        held.setdefault(value.partition("=")[2], []).append(n_bytes)
    return sorted(
        value
        for value, sizes in held.items()
        if value and len(sizes) >= MANY_FILES and sum(sizes) < SMALL_BYTES * len(sizes)
    )


def _data_files(uri: str) -> dict[Path, int]:
    """Data files of a table on this machine with their bytes; empty for an object store."""
    root = local_path(uri)
    if root is None:
        return {}
    return {path: path.stat().st_size for path in root.rglob("*.parquet") if _is_data(root, path)}


def _is_data(root: Path, path: Path) -> bool:
    return path.relative_to(root).parts[0] != "_delta_log"


def main() -> int:
    """Start by hand or by Pipes."""
    return run_main(Arguments, run)


if __name__ == "__main__":
    raise SystemExit(main())
