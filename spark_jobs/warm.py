"""Record the classes that a small job loads, so that later JVMs map them instead of reading jars.

Application class-data sharing of the JVM: one run with ``-XX:ArchiveClassesAtExit`` writes the
archive, every embedded session that finds it starts with ``-XX:SharedArchiveFile``. Another
JVM or another class path ignores it. It is a quarter of a gigabyte of cache, safe to delete.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
from pyspark import SparkContext
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - the name all of Spark's documents use
from pyspark.sql.types import DateType, LongType, StringType

from spark_jobs.delta import Commit, TableSpec, insert_new, read_table, replace_where
from spark_jobs.jars import archive
from spark_jobs.job import date_condition
from spark_jobs.session import spark_session
from spark_jobs.tables import struct

LIMIT_S = 300


def rehearse(spark: SparkSession, folder: Path) -> int:
    """Do once, in small, what the jobs do: create, append, merge, replace, map, rank, join."""
    schema = struct(id=StringType(), value=LongType(), event_date=DateType())
    spec = TableSpec(str(folder / "rehearsal"), schema, ("event_date",), ("value",))
    day = date(2026, 1, 1)
    table = pa.table({"id": ["a", "b"], "value": [1, 2], "event_date": [day, day]})
    frame = spark.createDataFrame(table)
    condition = date_condition([day.isoformat()])
    for number in (1, 2):
        insert_new(frame, spec, ("event_date", "id"), f"t.{condition}", Commit("warm", {}, number))
    first = Window.partitionBy("id").orderBy("value")
    ranked = read_table(spark, spec.uri).withColumn("rank", F.row_number().over(first))
    mapped = ranked.repartition(2, "id").mapInArrow(_as_it_is, ranked.schema).where("rank = 1")
    replace_where(mapped, spec, condition, Commit("warm", {}))
    joined = frame.join(read_table(spark, spec.uri), on="id", how="left")
    return len(joined.groupBy("id").agg(F.first("id")).orderBy("id").toArrow())


def _as_it_is(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


def main() -> int:
    """Rehearse in a JVM that writes the archive as it ends."""
    into = archive()
    with tempfile.TemporaryDirectory() as folder:
        fresh = into.with_suffix(".new")
        spark = spark_session(
            scratch=Path(folder), class_archive=None, jvm=f"-XX:ArchiveClassesAtExit={fresh}"
        )
        rehearse(spark, Path(folder))
        process = SparkContext._gateway.proc
        spark.stop()
        # The JVM ends, and writes, when our end of its input closes.
        process.stdin.close()
        process.wait(timeout=LIMIT_S)
        fresh.replace(into)
        for older in into.parent.glob("classes*.jsa"):
            if older != into:
                older.unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
