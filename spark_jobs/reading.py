"""Epochs of a log as one DataFrame of parsed rows: in the driver when small, else in workers.

Workers read the log themselves, by its path, so the folder of the log must be one that
every worker sees (the machine's own, or a shared volume in a cluster). An epoch over Kafka is
read from its topic, in workers by one task a partition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from core.contracts import Source
from spark_jobs.crash import CrashPoints
from spark_jobs.parsing import BATCH_ROWS, EpochReader, parsed_schema, text_of
from stores.erasing.tombstones import Forgotten
from stores.log.epochs import Epoch
from stores.log.source_log import SourceLog

SLICE_ROWS = 250_000
RAW = pa.schema([("epoch", pa.int64()), ("offset", pa.int64()), ("raw", pa.string())])


@dataclass(frozen=True)
class LogSlice:
    """Records of one epoch with ``first <= offset < end``; no ``end`` means to its end.

    Of an epoch over Kafka, those of one ``partition``, or of all.
    """

    epoch: int
    first: int = 0
    end: int | None = None
    partition: int | None = None


def slices_of(epoch: Epoch) -> list[LogSlice]:
    """Parts of an epoch that one task each should read.

    Offsets of Parquet count rows, so it can be cut; lines and CSV are read from the start
    to know where a record begins, and stay whole. A topic is cut by its partitions.
    """
    if epoch.format == "kafka" and (epoch.rows or 0) > SLICE_ROWS:
        return [LogSlice(epoch.epoch, partition=each) for each in range(epoch.partitions)]
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
    forgotten: Forgotten | None = None

    def read(self, part: LogSlice) -> Iterator[pa.RecordBatch]:
        """Parsed batches of one slice."""
        epoch = self._epoch(part)
        reader = EpochReader(self.source, epoch, now_ms=self.now_ms, forgotten=self.forgotten)
        with closing(self._log()) as log:
            if epoch.format == "parquet":
                yield from reader.block_batches(log.blocks(part.epoch, part.first, part.end))
            else:
                records = log.records(part.epoch, part.first, partition=part.partition)
                yield from reader.batches(records)

    def read_raw(self, part: LogSlice) -> Iterator[pa.RecordBatch]:
        """Records of one slice as they came."""
        with closing(self._log()) as log:
            records = log.records(part.epoch, part.first, partition=part.partition)
            if part.end is not None:
                records = islice(records, part.end - part.first)
            while block := list(islice(records, BATCH_ROWS)):
                columns = [
                    pa.array([part.epoch] * len(block), pa.int64()),
                    pa.array([record.offset for record in block], pa.int64()),
                    pa.array([text_of(record.raw) for record in block], pa.string()),
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=RAW)

    def _epoch(self, part: LogSlice) -> Epoch:
        return next(epoch for epoch in self.epochs if epoch.epoch == part.epoch)

    def _log(self) -> SourceLog:
        return SourceLog(self.directory, self.source.name)


def parsed_rows(
    spark: SparkSession, reader: SliceReader, *, in_driver_below_bytes: int
) -> DataFrame:
    """All records of the reader's epochs, parsed."""
    schema = parsed_schema(reader.source)
    return _frame(spark, reader, reader.read, schema, in_driver_below_bytes)


def raw_records(
    spark: SparkSession, reader: SliceReader, *, in_driver_below_bytes: int
) -> DataFrame:
    """All records of the reader's epochs as they came: ``epoch``, ``offset``, ``raw``."""
    return _frame(spark, reader, reader.read_raw, RAW, in_driver_below_bytes)


def _frame(
    spark: SparkSession,
    reader: SliceReader,
    read: Callable[[LogSlice], Iterator[pa.RecordBatch]],
    schema: pa.Schema,
    in_driver_below_bytes: int,
) -> DataFrame:
    slices = [part for epoch in reader.epochs for part in slices_of(epoch)]
    if sum(epoch.data_bytes for epoch in reader.epochs) < in_driver_below_bytes:
        batches = [batch for part in slices for batch in read(part)]
        return spark.createDataFrame(pa.Table.from_batches(batches, schema))
    tasks = spark.createDataFrame(_table_of(slices)).repartition(len(slices))
    return tasks.mapInArrow(partial(_read_slices, read, reader.crash), from_arrow_schema(schema))


def _read_slices(
    read: Callable[[LogSlice], Iterator[pa.RecordBatch]],
    crash: CrashPoints,
    batches: Iterator[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """In a worker: rows are slices."""
    for batch in batches:
        for row in batch.to_pylist():
            crash.reach("ingest.in_worker")
            yield from read(LogSlice(**row))


def _table_of(slices: Sequence[LogSlice]) -> pa.Table:
    return pa.table(
        {
            "epoch": pa.array([part.epoch for part in slices], pa.int64()),
            "first": pa.array([part.first for part in slices], pa.int64()),
            "end": pa.array([part.end for part in slices], pa.int64()),
            "partition": pa.array([part.partition for part in slices], pa.int64()),
        }
    )
