"""Raw records of a log into rows: the contract's one check, over Arrow batches.

Pure: records and a contract in, record batches out. Runs in the driver for a small epoch and
in Spark's workers for a large one, and cannot tell which. A batch holds accepted and refused
records side by side; ``code`` is null on those that keep the contract. Records that come as
columns are checked as columns, and one by one only where a column refuses a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.clock import DAY_MS
from core.contracts import Source
from core.features.keys import position
from core.features.plan import ColumnType
from core.mapping import RowMapper, read_mapping
from core.rows.column_parser import ColumnParser, Settled
from core.rows.event_versions import VersionedParser
from core.rows.row_parser import ParsedRow, Violation, raw_text
from spark_jobs.forgetting import passed_over
from spark_jobs.tables import ARROW_TYPES
from stores.erasing.tombstones import Forgotten
from stores.log.epochs import Block, Epoch, Malformed, Record

BATCH_ROWS = 20_000
_TIMESTAMP = pa.timestamp("us", tz="UTC")


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
    now_ms
        Present of the run: rows dated more than five minutes later are refused.
    forgotten
        Whose rows are passed over; None where nobody was forgotten.
    """

    def __init__(
        self, source: Source, epoch: Epoch, *, now_ms: int, forgotten: Forgotten | None = None
    ) -> None:
        self.source = source
        self._forgotten = forgotten
        self.epoch = epoch
        self.now_ms = now_ms
        self.schema = parsed_schema(source)
        self._mapper = None if epoch.mapping is None else RowMapper(read_mapping(epoch.mapping))
        self._versions = VersionedParser(source)
        self._parser = ColumnParser(self._versions.present, self._mapper)

    def batches(self, records: Iterable[Record]) -> Iterator[pa.RecordBatch]:
        """Record batches in the order of ``records``, which are looked at one by one."""
        iterator = iter(records)
        while block := list(islice(iterator, BATCH_ROWS)):
            rows = self._settled([record.raw for record in block])
            raws = {place: block[place].raw for place in rows.refused}
            passed_over(rows, raws, self.source, self._forgotten, self._mapper)
            places = np.array([(r.offset, r.ingested_at_ms) for r in block], np.int64)
            yield self._batch(places[:, 0], places[:, 1], rows, raws)

    def block_batches(self, blocks: Iterable[Block]) -> Iterator[pa.RecordBatch]:
        """Record batches in the order of ``blocks``, looked at as columns.

        Those of a former contract are looked at one by one: they become rows of the present.
        """
        for block in blocks:
            if self.epoch.contract == self.source.major:
                rows = self._parser.parse(block.columns, block.rows, now_ms=self.now_ms)
            else:
                rows = self._settled([block.record(place) for place in range(block.rows)])
            raws: dict[int, dict[str, Any] | Malformed] = {
                place: block.record(place) for place in rows.refused
            }
            passed_over(rows, raws, self.source, self._forgotten, self._mapper)
            offsets = np.arange(block.first, block.first + block.rows)
            arrived_ms = np.full(block.rows, block.ingested_at_ms)
            yield self._batch(offsets, arrived_ms, rows, raws)

    def _settled(self, raws: Sequence[dict[str, Any] | Malformed]) -> Settled:
        found = [self._check(raw) for raw in raws]
        refused = {place: why for place, why in enumerate(found) if isinstance(why, Violation)}
        nothing = (None, None, None, (None,) * len(self.source.fields))
        rows = [nothing if isinstance(row, Violation) else row for row in found]
        ids, times, digests, values = map(list, zip(*rows, strict=True))
        columns = map(list, zip(*values, strict=True))
        return Settled(ids, times, digests, tuple(columns), refused)

    def _check(self, raw: dict[str, Any] | Malformed) -> ParsedRow | Violation:
        if isinstance(raw, Malformed):
            return Violation("malformed", "", raw.message)
        return self._versions.parse(
            raw, said=self.epoch.contract, mapper=self._mapper, now_ms=self.now_ms
        )

    def _batch(
        self,
        offsets: NDArray[np.int64],
        arrived_ms: NDArray[np.int64],
        rows: Settled,
        raws: Mapping[int, dict[str, Any] | Malformed],
    ) -> pa.RecordBatch:
        """All columns of a batch. ``raws`` are the refused records, by their place."""
        number, n_rows = self.epoch.epoch, len(offsets)
        position(number, int(offsets.max()))  # refuses what is out of range
        event_ms, ingested_ms = pa.array(rows.event_ms, pa.int64()), pa.array(arrived_ms)
        available_ms = pc.if_else(pc.is_valid(event_ms), ingested_ms, None)
        if self.epoch.is_historic:
            available_ms = pc.add(event_ms, self.epoch.delay_ms)
        dates = pc.coalesce(event_ms, ingested_ms).to_numpy() // DAY_MS
        codes, fields, messages = _told(rows.refused, n_rows)
        columns = [
            pa.array(_with_ids(rows.event_ids, raws), pa.string()),
            *(_instants(ms) for ms in (event_ms, ingested_ms, available_ms)),
            pa.array(position(number, 0) + offsets),
            pa.array(np.zeros(n_rows, np.int32)),
            pa.array(rows.payload_digests, pa.string()),
            *map(_column, rows.values, (field.type for field in self.source.fields)),
            pa.array(dates.astype(np.int32)).cast(pa.date32()),
            pa.array(np.full(n_rows, number)),
            pa.array(offsets),
            codes,
            fields,
            messages,
            _texts({place: text_of(raw) for place, raw in raws.items()}, n_rows),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def text_of(raw: dict[str, Any] | Malformed) -> str:
    """A record as it came, for the table of refused ones."""
    return raw.raw if isinstance(raw, Malformed) else raw_text(raw)


def _with_ids(
    event_ids: list[str | None], raws: Mapping[int, dict[str, Any] | Malformed]
) -> list[str | None]:
    """Ids of the rows, and of refused records what they had for one."""
    for place, raw in raws.items():
        found = None if isinstance(raw, Malformed) else raw.get("event_id")
        if isinstance(found, str):
            event_ids[place] = found[:256].encode("utf-8", "replace").decode()
    return event_ids


def _told(refused: Mapping[int, Violation], n_rows: int) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Code, field and message of every record; null where there is nothing to tell."""
    return (
        _texts({place: why.code for place, why in refused.items()}, n_rows),
        _texts({place: why.field or None for place, why in refused.items()}, n_rows),
        _texts({place: why.message for place, why in refused.items()}, n_rows),
    )


def _texts(texts: Mapping[int, str | None], n_rows: int) -> pa.Array:
    """A column with a text in some places."""
    if not texts:
        return pa.nulls(n_rows, pa.string())
    return pa.array([texts.get(place) for place in range(n_rows)], pa.string())


def _column(values: Sequence[Any], kind: ColumnType) -> pa.Array:
    if kind == "timestamp":
        return _instants(pa.array(values, pa.int64()))
    return pa.array(values, ARROW_TYPES[kind])


def _instants(instants_ms: pa.Array) -> pa.Array:
    """Instants of epoch milliseconds."""
    return instants_ms.cast(pa.timestamp("ms", tz="UTC")).cast(_TIMESTAMP)
