"""Sealed epochs of one source into ``events/<source>`` and ``events/<source>_rejected``.

Exactly once by natural keys: rows are inserted by (event date, event id), refusals by
(epoch, partition, offset), and the cursor moves in the same commit as the rows. Killed
anywhere and run again, it writes what an undisturbed run would have written. Rows whose
reference is not there yet are refused, and come again by ``replay_rejects``.
"""

from __future__ import annotations

from collections import Counter

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use

from core.contracts import Source
from core.erasing.erasure import FORGOTTEN
from core.errors import NotReadyError
from core.features.keys import position
from spark_jobs.crash import CrashPoints
from spark_jobs.delta import (
    Commit,
    ensure_table,
    insert_new,
    is_table,
    latest_version,
    local_path,
    read_table,
    table_lock,
    writer_number,
)
from spark_jobs.job import JobArguments, JobReport, date_condition, run_main
from spark_jobs.reading import SliceReader, parsed_rows
from spark_jobs.refusals import refused_rows
from spark_jobs.tables import events_table, rejected_table
from spark_jobs.verdicts import (
    narrow_columns,
    still_refused,
    unknown_references,
    verdicts,
    with_verdicts,
)
from stores.erasing.tombstones import Tombstones
from stores.log.source_log import SourceLog

WRITER = "ingest"


class Arguments(JobArguments):
    """Take the epochs of ``source`` after the last ingested, ``to_epoch`` included.

    ``reported_epoch`` is the last epoch whose report the caller has. The report then covers
    all later ones, also those that a run took which died before it could say so; without
    it, what this run took.
    """

    source: Source
    to_epoch: int
    reported_epoch: int | None = None
    in_driver_below_bytes: int = 4 * 2**20


class Report(JobReport):
    """What was taken. ``touched`` maps each event date to the rows accepted for it.

    ``duplicates`` and ``forgotten`` count those of this run: nothing is kept of a duplicate, nor
    of a row of somebody who was forgotten.
    """

    source: str
    epochs: tuple[int, ...]
    touched: dict[str, int]
    accepted: int
    duplicates: int
    forgotten: int = 0
    rejected: dict[str, int]
    events_version: int
    rejected_version: int


def run(spark: SparkSession, arguments: Arguments) -> Report:
    """Ingest, under the lock of the events table."""
    source, layout = arguments.source, arguments.layout
    crash = CrashPoints.of(arguments.crash_at)
    with table_lock(layout.events(source.name)):
        cursor = writer_number(spark, layout.events(source.name), WRITER)
        log = SourceLog(layout.log_dir(source.name), source.name)
        epochs = tuple(e for e in log.epochs(after=cursor) if e.epoch <= arguments.to_epoch)
        counts = _unreported(spark, arguments, cursor)
        if epochs:
            crash.reach("ingest.before_read")
            reader = SliceReader(
                source,
                layout.log_dir(source.name),
                epochs,
                arguments.now_ms,
                crash,
                Tombstones(layout).forgotten(),
            )
            parsed = parsed_rows(
                spark, reader, in_driver_below_bytes=arguments.in_driver_below_bytes
            ).persist()
            try:
                judged = with_verdicts(
                    parsed, _judged(spark, arguments, parsed.select(narrow_columns(source)), cursor)
                )
                taken = judged.groupBy("verdict", "event_date", "code").count().collect()
                _write(arguments, reader, judged, taken)
                counts += taken
            finally:
                parsed.unpersist()
    first = cursor if arguments.reported_epoch is None else arguments.reported_epoch
    covered = [e.epoch for e in log.epochs(after=first) if e.epoch <= arguments.to_epoch]
    return _report(spark, arguments, covered, counts)


def _unreported(spark: SparkSession, arguments: Arguments, cursor: int) -> list[Row]:
    """Counts of epochs that an earlier run took and nobody heard of."""
    reported, name = arguments.reported_epoch, arguments.source.name
    if reported is None or reported >= cursor:
        return []
    events = read_table(spark, arguments.layout.events(name)).where(
        F.col("position").between(position(reported + 1, 0), position(cursor + 1, 0) - 1)
    )
    accepted = events.select(
        F.lit("accepted").alias("verdict"), "event_date", F.lit(None).cast("string").alias("code")
    )
    rejected = read_table(spark, arguments.layout.rejected(name)).where(
        F.col("epoch").between(reported + 1, cursor)
    )
    refused = rejected.select(F.lit("rejected").alias("verdict"), "event_date", "code")
    counted = accepted.unionByName(refused).groupBy("verdict", "event_date", "code").count()
    found: list[Row] = counted.collect()
    return found


def _judged(spark: SparkSession, arguments: Arguments, parsed: DataFrame, cursor: int) -> DataFrame:
    """Narrow parsed rows with their verdict, by what the tables hold already."""
    source, layout = arguments.source, arguments.layout
    judged = parsed
    if is_table(spark, layout.rejected(source.name)):
        before = read_table(spark, layout.rejected(source.name)).where(F.col("epoch") > cursor)
        judged = still_refused(judged, before) if before.head(1) else judged
    for reference in source.references:
        if not is_table(spark, layout.events(reference.source)):
            raise NotReadyError(
                f"source {source.name} refers to a source that has no table yet",
                found=f"no events of {reference.source}",
                remedy=f"ingest {reference.source} first",
            )
        target = read_table(spark, layout.events(reference.source))
        judged = unknown_references(judged, reference, target)
    if not is_table(spark, layout.events(source.name)):
        return verdicts(judged, None)
    # Named dates let Delta skip every other partition of the table.
    dates = [str(row[0]) for row in parsed.select("event_date").distinct().collect()]
    held = read_table(spark, layout.events(source.name)).where(date_condition(dates))
    return verdicts(judged, held)


def _write(arguments: Arguments, reader: SliceReader, judged: DataFrame, counts: list[Row]) -> None:
    """Refusals first: the commit of the events moves the cursor past both."""
    source, spark, crash = arguments.source, judged.sparkSession, reader.crash
    epoch = reader.epochs[-1].epoch
    metadata = {"epoch": epoch, "source": source.name}
    crash.reach("ingest.before_rejects")
    rejected = rejected_table(arguments.layout, source)
    ensure_table(spark, rejected)
    if refused := [row for row in counts if row["verdict"] == "rejected"]:
        rows = refused_rows(
            judged,
            reader,
            {row["code"] for row in refused},
            sum(row["count"] for row in refused),
            in_driver_below_bytes=arguments.in_driver_below_bytes,
        )
        with table_lock(rejected.uri):
            insert_new(
                rows.withColumn("replayed_epoch", F.lit(None).cast("long")),
                rejected,
                ("event_date", "epoch", "partition", "offset"),
                date_condition(_dates(counts, "rejected"), "t.event_date"),
                Commit(WRITER, metadata),
            )
    crash.reach("ingest.after_rejects")
    events = events_table(arguments.layout, source)
    with crash.writing("ingest.in_merge", local_path(events.uri)):
        insert_new(
            judged.where("verdict = 'accepted'"),
            events,
            ("event_date", "event_id"),
            date_condition(_dates(counts, "accepted"), "t.event_date"),
            Commit(WRITER, metadata, epoch),
        )
    crash.reach("ingest.after_merge")


def _dates(counts: list[Row], verdict: str) -> list[str]:
    return sorted({str(row["event_date"]) for row in counts if row["verdict"] == verdict})


def _report(
    spark: SparkSession, arguments: Arguments, epochs: list[int], counts: list[Row]
) -> Report:
    rejected: Counter[str] = Counter()
    touched: Counter[str] = Counter()
    for row in counts:
        if row["verdict"] == "rejected":
            rejected[row["code"]] += row["count"]
        elif row["verdict"] == "accepted":
            touched[str(row["event_date"])] += row["count"]
    layout, name = arguments.layout, arguments.source.name
    return Report(
        source=name,
        epochs=tuple(epochs),
        touched=dict(touched),
        accepted=touched.total(),
        duplicates=sum(row["count"] for row in counts if row["verdict"] == "duplicate"),
        forgotten=sum(row["count"] for row in counts if row["verdict"] == FORGOTTEN),
        rejected=dict(rejected),
        events_version=latest_version(spark, layout.events(name)),
        rejected_version=latest_version(spark, layout.rejected(name)),
    )


def main() -> int:
    """Start by hand or by Pipes."""
    return run_main(Arguments, run)


if __name__ == "__main__":
    raise SystemExit(main())
