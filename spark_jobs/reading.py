"""Epochs of a log as one DataFrame of parsed rows: in the driver when small, else in workers.

Workers read the log themselves, by its path, so the folder of the log must be one that
every worker sees (the machine's own, or a shared volume in a cluster).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from core.contracts import Source
from core.mapping import RowMapper, read_mapping
from spark_jobs.crash import CrashPoints
from spark_jobs.parsing import EpochReader, Mapped, parsed_schema
from stores.epochs import Epoch
from stores.log import SourceLog

SLICE_ROWS = 250_000


@dataclass(frozen=True)
class LogSlice:
    """Records of one epoch with ``first <= offset < end``; no ``end`` means to its end."""

    epoch: int
    first: int = 0
    end: int | None = None


def slices_of(epoch: Epoch) -> list[LogSlice]:
    """Parts of an epoch that one task each should read.

    Offsets of Parquet count rows, so it can be cut; lines and CSV are read from the start
    to know where a record begins, and stay whole.
    """
    if epoch.format != "parquet" or not epoch.rows or epoch.rows <= SLICE_ROWS:
        return [LogSlice(epoch.epoch)]
    cuts = range(0, epoch.rows, SLICE_ROWS)
    return [LogSlice(epoch.epoch, cut, cut + SLICE_ROWS) for cut in cuts]


@dataclass(frozen=True)
class SliceReader:
    """Reads and parses slices of a log, wherever it runs."""

    source: Source
    directory: Path
    epochs: tuple[Epoch, ...]
    now_ms: int
    crash: CrashPoints

    def read(self, part: LogSlice) -> Iterator[pa.RecordBatch]:
        """Parsed batches of one slice."""
        epoch = next(epoch for epoch in self.epochs if epoch.epoch == part.epoch)
        log = SourceLog(self.directory, self.source.name)
        records = log.records(part.epoch, part.first)
        if part.end is not None:
            end = part.end
            records = (record for record in records if record.offset < end)
        yield from EpochReader(self.source, epoch, _mapped(epoch), now_ms=self.now_ms).batches(
            records
        )

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """As a function for ``mapInArrow``: rows are slices."""
        for batch in batches:
            for row in batch.to_pylist():
                self.crash.reach("ingest.in_worker")
                yield from self.read(LogSlice(**row))


def _mapped(epoch: Epoch) -> Mapped:
    if epoch.mapping is None:
        return _as_it_is
    return RowMapper(read_mapping(epoch.mapping)).apply


def _as_it_is(raw: dict[str, Any]) -> dict[str, Any]:
    return raw


def parsed_rows(
    spark: SparkSession, reader: SliceReader, *, in_driver_below_bytes: int
) -> DataFrame:
    """All records of the reader's epochs, parsed."""
    schema = parsed_schema(reader.source)
    slices = [part for epoch in reader.epochs for part in slices_of(epoch)]
    if sum(epoch.bytes for epoch in reader.epochs) < in_driver_below_bytes:
        batches = [batch for part in slices for batch in reader.read(part)]
        return spark.createDataFrame(pa.Table.from_batches(batches, schema))
    tasks = spark.createDataFrame(_table_of(slices)).repartition(len(slices))
    return tasks.mapInArrow(reader, from_arrow_schema(schema))


def _table_of(slices: Sequence[LogSlice]) -> pa.Table:
    return pa.table(
        {
            "epoch": pa.array([part.epoch for part in slices], pa.int64()),
            "first": pa.array([part.first for part in slices], pa.int64()),
            "end": pa.array([part.end for part in slices], pa.int64()),
        }
    )
