"""Shipped segments of prediction records into ``predictions/<use_case>``, each record once.

Exactly once by natural keys: a record is inserted by the segment it came in and its offset
there, which stand in the rows themselves, so the rows' own commit says what was taken. A segment
leaves shared storage when its rows are in the table and not before. Killed anywhere and run
again, it writes what an undisturbed run would have written. A segment that is not made of whole
records is set aside, and named in every report until somebody has looked after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from core.clock import event_date
from core.errors import IntegrityError, NotReadyError
from core.packed_records import printed, whole_record
from spark_jobs.crash import CrashPoints
from spark_jobs.delta import Commit, insert_new, latest_version, local_path, table_lock
from spark_jobs.job import JobArguments, JobReport, date_condition, run_main
from spark_jobs.tables import predictions_table
from stores.records.ids import RecordId, parse_segment_name
from stores.records.segments import records_of
from stores.records.shared import Segment, open_segments

WRITER = "predictions"
KEYS = ("event_date", "writer", "segment", "offset")
BYTES_A_TASK = 64 * 2**20

_INSTANT = pa.timestamp("us", tz="UTC")
ROW = pa.schema(
    [
        ("prediction_id", pa.string()),
        ("writer", pa.string()),
        ("segment", pa.int32()),
        ("offset", pa.int64()),
        ("received_at", _INSTANT),
        ("event_timestamp", _INSTANT),
        ("release", pa.int32()),
        ("channel", pa.string()),
        ("score", pa.float64()),
        ("decision", pa.string()),
        ("reason", pa.string()),
        ("degraded", pa.string()),
        ("record", pa.string()),
        ("event_date", pa.string()),
        ("fault", pa.string()),
    ]
)


class Arguments(JobArguments):
    """Take the segments of ``use_case`` that are in shared storage, the first so many."""

    use_case: str
    max_segments: int = Field(default=20_000, ge=1)


class Report(JobReport):
    """What was taken. ``touched`` maps each event date to the rows that segments hold of it.

    ``damaged`` are all segments that were set aside, now or before; ``waiting`` counts those
    beyond the limit of one run. ``version`` is that of the table, -1 when there is none.
    """

    use_case: str
    segments: int
    rows: int
    touched: dict[str, int]
    damaged: tuple[str, ...]
    waiting: int
    version: int


def run(spark: SparkSession, arguments: Arguments) -> Report:
    """Read, insert, remove; under the lock of the table."""
    layout, name = arguments.layout, arguments.use_case
    crash = CrashPoints.of(arguments.crash_at)
    store = open_segments(layout.segments(name))
    touched: dict[str, int] = {}
    damaged: tuple[str, ...] = ()
    with table_lock(layout.predictions(name)):
        there = store.waiting()
        chosen = there[: arguments.max_segments]
        if chosen:
            crash.reach("predictions.before_read")
            read = segment_rows(spark, chosen, SegmentReader(name, layout.segments(name), crash))
            try:
                touched, damaged = _insert(arguments, read.persist(), len(chosen), crash)
            finally:
                read.unpersist()
            crash.reach("predictions.after_write")
            for segment in chosen:
                if segment.name in damaged:
                    store.set_aside(segment.name)
                else:
                    store.remove(segment.name)
                crash.reach("predictions.in_removal")
    return Report(
        use_case=name,
        segments=len(chosen) - len(damaged),
        rows=sum(touched.values()),
        touched=touched,
        damaged=tuple(store.aside()),
        waiting=len(there) - len(chosen),
        version=latest_version(spark, layout.predictions(name)),
    )


def _insert(
    arguments: Arguments, read: DataFrame, n_segments: int, crash: CrashPoints
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Put the rows into the table; how many by date, and the segments that are damaged."""
    faults = read.where("fault IS NOT NULL").select("fault").collect()
    rows = read.where("fault IS NULL")
    counted = rows.groupBy("event_date").count().collect()
    touched = {row["event_date"]: int(row["count"]) for row in counted}
    table = predictions_table(arguments.layout, arguments.use_case)
    dated = rows.withColumn("event_date", rows["event_date"].cast("date"))
    metadata = {"segments": n_segments - len(faults)}
    with crash.writing("predictions.in_write", local_path(table.uri)):
        condition = date_condition(sorted(touched), "t.event_date")
        insert_new(dated, table, KEYS, condition, Commit(WRITER, metadata))
    return touched, tuple(sorted(row["fault"] for row in faults))


def segment_rows(
    spark: SparkSession, segments: Sequence[Segment], reader: SegmentReader
) -> DataFrame:
    """Rows of all segments, read in workers; one row with its ``fault`` for a damaged one."""
    n_tasks = 1 + sum(segment.bytes for segment in segments) // BYTES_A_TASK
    names = pa.table({"name": [segment.name for segment in segments]})
    tasks = spark.createDataFrame(names).repartition(min(n_tasks, len(segments)))
    return tasks.mapInArrow(reader, from_arrow_schema(ROW))


@dataclass(frozen=True)
class SegmentReader:
    """Names of segments into their rows; travels to the workers."""

    use_case: str
    uri: str
    crash: CrashPoints

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """As a function for ``mapInArrow``."""
        store = open_segments(self.uri)
        for batch in batches:
            for name in batch.column("name").to_pylist():
                self.crash.reach("predictions.in_worker")
                try:
                    rows = rows_of(self.use_case, name, store.read(name))
                except NotReadyError:
                    continue
                except IntegrityError:
                    rows = [{"fault": name}]
                yield pa.RecordBatch.from_pylist(rows, schema=ROW)


def rows_of(use_case: str, name: str, content: bytes) -> list[dict[str, Any]]:
    """Rows of one segment.

    Raises
    ------
    IntegrityError
        If it is not made of whole records, or one is not what the service writes.
    """
    place = parse_segment_name(name)
    if place is None:
        raise IntegrityError("not the name of a segment", found=name[:80], code="damaged_segment")
    rows = []
    for offset, payload in records_of(content):
        record_id = RecordId(use_case, *place, offset)
        try:
            rows.append(_row(record_id, whole_record(payload)))
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"record {record_id} is not one that the service writes",
                found=type(error).__name__,
                remedy="see which version of the service wrote it",
                code="damaged_segment",
            ) from error
    return rows


def _row(where: RecordId, record: Mapping[str, Any]) -> dict[str, Any]:
    model, degraded = record["model"], record["degraded"]
    return {
        "prediction_id": str(where),
        "writer": where.writer,
        "segment": where.segment,
        "offset": where.offset,
        "received_at": record["received_at_ms"] * 1_000,
        "event_timestamp": record["at_ms"] * 1_000,
        "release": model["release"],
        "channel": model["channel"],
        "score": record["score"],
        "decision": record["decision"],
        "reason": record["reason"],
        "degraded": degraded["level"] if degraded else None,
        "record": printed(record),
        "event_date": event_date(record["at_ms"]),
    }


def main() -> int:
    """Start by hand or by Pipes."""
    return run_main(Arguments, run)


if __name__ == "__main__":
    raise SystemExit(main())
