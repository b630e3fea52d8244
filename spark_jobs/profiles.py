"""Profiles of a table, all columns in one pass, one a date and column.

Each partition counts its rows by the bins of the reference and gives one row of counts a date,
so what travels is as large as the bins, whatever was counted. The dates asked for are counted
whole and put in the place of what was there (``replaceWhere``): a rerun changes nothing, and
late rows are counted with the rest of their date. A date without rows gets a profile of zeros:
"nothing came" is something that was seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use
from pyspark.sql.types import BinaryType, StringType

from core.errors import NotReadyError
from core.stats.profile import TableProfile
from spark_jobs.crash import CrashPoints
from spark_jobs.delta import (
    Commit,
    latest_version,
    local_path,
    read_table,
    replace_where,
    table_lock,
)
from spark_jobs.job import EventDates, JobArguments, JobReport, date_condition, run_main
from spark_jobs.tables import profiles_table, struct
from stores.frames.profiles import Counter, profile_from, profile_rows
from stores.layout import Layout
from stores.records.columns import READ, record_columns

WRITER = "profiles"
COUNTED = struct(event_date=StringType(), counts=BinaryType())

ProfiledTable = Literal["events", "scores", "predictions"]
DATE_COLUMNS: Mapping[ProfiledTable, str] = {
    "events": "event_date",
    "scores": "as_of",
    "predictions": "event_date",
}


class Arguments(JobArguments):
    """Count ``dates`` of ``table`` ``name`` by ``bins``: the columns that are named there.

    With a ``vector`` the table is one of predictions, and the vector's entries, taken from the
    records, are columns too; records that are degraded or synthetic are not counted.
    """

    table: ProfiledTable
    name: str
    bins: TableProfile = Field(description="Profile of the reference; its counts do not matter")
    dates: EventDates
    vector: tuple[str, ...] = ()


class Report(JobReport):
    """What was counted: rows by date. ``read_version`` is that of the table profiled."""

    table: str
    name: str
    rows: dict[str, int]
    columns: int
    read_version: int
    version: int


def run(spark: SparkSession, arguments: Arguments) -> Report:
    """Count and replace, under the lock of the table of profiles."""
    layout, dates = arguments.layout, sorted(set(arguments.dates))
    uri = table_uri(layout, arguments.table, arguments.name)
    spec = profiles_table(layout, arguments.table, arguments.name)
    crash = CrashPoints.of(arguments.crash_at)
    with table_lock(spec.uri):
        crash.reach("profiles.before_read")
        read_version = latest_version(spark, uri)
        if read_version < 0:
            raise NotReadyError(
                f"no {arguments.table} of {arguments.name} to profile",
                found=f"no Delta table at {uri}",
                remedy="run what writes it first",
            )
        rows = read_table(spark, uri, read_version)
        date_column = DATE_COLUMNS[arguments.table]
        counter = PartitionCounter(arguments.bins.emptied(), crash, arguments.vector)
        profiles = profiles_of(rows, counter, dates, date_column)
        frame = spark.createDataFrame(profile_rows(profiles), spec.schema)
        commit = Commit(WRITER, {"read_version": read_version})
        with crash.writing("profiles.in_replace", local_path(spec.uri)):
            version = replace_where(frame.coalesce(1), spec, date_condition(dates), commit)
        crash.reach("profiles.after_replace")
    return Report(
        table=arguments.table,
        name=arguments.name,
        rows={date: profile.n for date, profile in profiles.items()},
        columns=len(arguments.bins.columns),
        read_version=read_version,
        version=version,
    )


def table_uri(layout: Layout, table: ProfiledTable, name: str) -> str:
    """Where a table that can be profiled lies."""
    places = {
        "events": layout.events,
        "scores": layout.scores,
        "predictions": layout.predictions,
    }
    return places[table](name)


def profiles_of(
    rows: DataFrame, counter: PartitionCounter, dates: Sequence[str], date_column: str
) -> dict[str, TableProfile]:
    """Profile of every date of ``dates``, in one pass over their rows.

    No shuffle: partial counts are added here, where they are as many as partitions and dates.
    """
    bins = counter.bins
    asked = rows.where(date_condition(dates, date_column)).select(
        F.col(date_column).cast("string").alias("event_date"),
        *[F.col(f"`{name}`") for name in counter.columns if name != "event_date"],
    )
    parts = asked.mapInArrow(counter, COUNTED).toArrow()
    totals = {date: Counter(bins).counts() for date in dates}
    for date, counts in zip(
        parts["event_date"].to_pylist(), parts["counts"].to_pylist(), strict=True
    ):
        totals[date] += np.frombuffer(counts, dtype=np.int64)
    return {date: profile_from(bins, counts) for date, counts in totals.items()}


@dataclass(frozen=True)
class PartitionCounter:
    """Rows of one partition into one row of counts a date; travels to the workers."""

    bins: TableProfile
    crash: CrashPoints = CrashPoints()  # noqa: RUF009 - frozen, and says that none is set
    vector: tuple[str, ...] = ()

    @property
    def columns(self) -> Sequence[str]:
        """Columns of the table that are read."""
        return READ if self.vector else list(self.bins.columns)

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """As a function for ``mapInArrow``."""
        counters: dict[str, Counter] = {}
        for batch in batches:
            self.crash.reach("profiles.in_worker")
            for date, rows in _by_date(batch):
                counted = record_columns(rows, self.vector) if self.vector else rows
                counters.setdefault(date, Counter(self.bins)).add(counted)
        counts: list[NDArray[np.int64]] = [counter.counts() for counter in counters.values()]
        yield pa.RecordBatch.from_pydict(
            {
                "event_date": pa.array(list(counters), pa.string()),
                "counts": pa.array([row.tobytes() for row in counts], pa.binary()),
            }
        )


def _by_date(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    dates = pc.unique(batch["event_date"]).to_pylist()
    if len(dates) == 1:  # as in a table that is partitioned by it
        yield dates[0], batch
        return
    for date in dates:
        yield date, batch.filter(pc.equal(batch["event_date"], date))


def main() -> int:
    """Start by hand or by Pipes."""
    return run_main(Arguments, run)


if __name__ == "__main__":
    raise SystemExit(main())
