"""Raw records of a log into rows: the contract's one check, over Arrow batches.

Pure: records and a parser in, record batches out. Runs in the driver for a small epoch and
in Spark's workers for a large one, and cannot tell which. A batch holds accepted and refused
records side by side; ``code`` is null on those that keep the contract.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from core.clock import DAY_MS
from core.contracts import Source
from core.features.keys import position
from core.row_parser import ParsedRow, RowParser, Violation, raw_text
from spark_jobs.tables import ARROW_TYPES
from stores.epochs import Epoch, Malformed, Record

BATCH_ROWS = 20_000
_TIMESTAMP = pa.timestamp("us", tz="UTC")

Mapped = Callable[[dict[str, Any]], Any]


def parsed_schema(source: Source) -> pa.Schema:
    """Columns of a parsed batch: those of the events table, then what a refusal needs."""
    fields = [(field.name, ARROW_TYPES[field.type]) for field in source.fields]
    return pa.schema(
        [
            ("event_id", pa.string()),
            ("event_timestamp", _TIMESTAMP),
            ("ingested_at", _TIMESTAMP),
            ("available_at", _TIMESTAMP),
            ("position", pa.int64()),
            ("partition", pa.int32()),
            ("payload_digest", pa.string()),
            *fields,
            ("event_date", pa.date32()),
            ("epoch", pa.int64()),
            ("offset", pa.int64()),
            ("code", pa.string()),
            ("field", pa.string()),
            ("message", pa.string()),
            ("raw", pa.string()),
            ("mapping", pa.string()),
        ]
    )


class EpochReader:
    """Turns the records of one epoch into batches.

    Parameters
    ----------
    source
        Contract of the rows.
    epoch
        Manifest: how the records came, and what makes rows of them.
    mapped
        Applies the epoch's mapping to a raw record; may answer a `Violation`.
    now_ms
        Present of the run: rows dated more than five minutes later are refused.
    """

    def __init__(self, source: Source, epoch: Epoch, mapped: Mapped, *, now_ms: int) -> None:
        self.source = source
        self.epoch = epoch
        self.now_ms = now_ms
        self.schema = parsed_schema(source)
        self._mapped = mapped
        self._parser = RowParser(source)
        self._mapping_json = json.dumps(epoch.mapping, sort_keys=True) if epoch.mapping else None
        self._times = [
            index for index, field in enumerate(source.fields) if field.type == "timestamp"
        ]

    def batches(self, records: Iterable[Record]) -> Iterator[pa.RecordBatch]:
        """Record batches in the order of ``records``."""
        iterator = iter(records)
        while block := list(islice(iterator, BATCH_ROWS)):
            rows = [self._row(record) for record in block]
            columns = [
                _column(values, field.type)
                for values, field in zip(zip(*rows, strict=True), self.schema, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _row(self, record: Record) -> tuple[Any, ...]:
        result = self._check(record.raw)
        raw = record.raw.raw if isinstance(record.raw, Malformed) else raw_text(record.raw)
        where = (self.epoch.epoch, record.offset)
        if isinstance(result, Violation):
            return self._refused(record, result, raw, where)
        available_ms = (
            result.event_ms + self.epoch.delay_ms
            if self.epoch.is_historic
            else record.ingested_at_ms
        )
        values = list(result.values)
        for index in self._times:
            values[index] = _instant(values[index])
        return (
            result.event_id,
            _instant(result.event_ms),
            _instant(record.ingested_at_ms),
            _instant(available_ms),
            position(*where),
            0,
            result.payload_digest,
            *values,
            result.event_ms // DAY_MS,
            *where,
            None,
            None,
            None,
            raw,
            self._mapping_json,
        )

    def _refused(
        self, record: Record, violation: Violation, raw: str, where: tuple[int, int]
    ) -> tuple[Any, ...]:
        ingested = _instant(record.ingested_at_ms)
        return (
            _event_id(record.raw),
            None,
            ingested,
            None,
            position(*where),
            0,
            None,
            *[None] * len(self.source.fields),
            record.ingested_at_ms // DAY_MS,
            *where,
            violation.code,
            violation.field or None,
            violation.message,
            raw,
            self._mapping_json,
        )

    def _check(self, raw: dict[str, Any] | Malformed) -> ParsedRow | Violation:
        if isinstance(raw, Malformed):
            return Violation("malformed", "", raw.message)
        mapped = self._mapped(raw)
        if isinstance(mapped, Violation):
            return mapped
        return self._parser.parse(mapped, now_ms=self.now_ms)


def _event_id(raw: dict[str, Any] | Malformed) -> str | None:
    found = None if isinstance(raw, Malformed) else raw.get("event_id")
    if not isinstance(found, str):
        return None
    return found[:256].encode("utf-8", "replace").decode()


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Instants (microseconds) and dates (days) come as integers: objects would cost more."""
    if kind == _TIMESTAMP:
        return pa.array(values, pa.int64()).cast(kind)
    if kind == pa.date32():
        return pa.array(values, pa.int32()).cast(kind)
    return pa.array(values, kind)


def _instant(instant_ms: int | None) -> int | None:
    return None if instant_ms is None else instant_ms * 1_000
