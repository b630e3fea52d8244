"""Rows of a source's log as the folder takes them: mapped and checked, as ingest does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from core.features.keys import epoch_of
from core.mapping import RowMapper, read_mapping
from core.rows.event_versions import VersionedParser
from core.rows.row_parser import ParsedRow, Violation
from stores.erasing.tombstones import Forgotten, Tombstones
from stores.log.epochs import FIRST_MAJOR, Epoch, Malformed, Record
from stores.log.source_log import SourceLog

_KEPT_READINGS = 1_000


class Accepted(NamedTuple):
    """A row that keeps its contract, where it stands, and when a decision could know it."""

    position: int
    available_ms: int
    row: ParsedRow


class _Reading(NamedTuple):
    """How the records of one epoch become rows. No ``delay_ms``: available when they came."""

    mapper: RowMapper | None = None
    delay_ms: int | None = None
    contract: int = FIRST_MAJOR


class LogRows:
    """Checks records by the contract, as of their arrival: reading twice gives the same rows."""

    def __init__(
        self, parser: VersionedParser, log: SourceLog, tombstones: Tombstones | None = None
    ) -> None:
        self._parser = parser
        self._tombstones = tombstones
        self._log = log
        self._readings: dict[int, _Reading] = {}

    def accepted(self, records: Iterable[tuple[int, Record]]) -> Iterator[Accepted]:
        """Rows that keep the contract and are of nobody who was forgotten, in order."""
        forgotten = None if self._tombstones is None else self._tombstones.forgotten()
        for position, record in records:
            reading = self._reading(epoch_of(position))
            row = self._row(record, reading)
            if row is not None and not self._is_of(forgotten, row):
                delay_ms = reading.delay_ms
                available_ms = (
                    record.ingested_at_ms if delay_ms is None else row.event_ms + delay_ms
                )
                yield Accepted(position, available_ms, row)

    def _is_of(self, forgotten: Forgotten | None, row: ParsedRow) -> bool:
        if forgotten is None:
            return False
        return forgotten.is_in_row(row.values, forgotten.columns(self._parser.source))

    def _row(self, record: Record, reading: _Reading) -> ParsedRow | None:
        raw = record.raw
        if isinstance(raw, Malformed):
            return None
        parsed = self._parser.parse(
            raw,
            said=reading.contract,
            mapper=reading.mapper,
            now_ms=record.ingested_at_ms,
            is_digested=False,
        )
        return None if isinstance(parsed, Violation) else parsed

    def _reading(self, number: int) -> _Reading:
        known = self._readings.get(number)
        if known is None:
            if len(self._readings) > _KEPT_READINGS:
                self._readings.clear()
            found = self._log.epochs(after=number - 1)
            # An epoch without a manifest is the open one: events, as they came.
            is_sealed = bool(found) and found[0].epoch == number
            known = _reading_of(found[0]) if is_sealed else _Reading()
            self._readings[number] = known
        return known


def _reading_of(epoch: Epoch) -> _Reading:
    mapper = None if epoch.mapping is None else RowMapper(read_mapping(epoch.mapping))
    return _Reading(mapper, epoch.delay_ms if epoch.is_historic else None, epoch.contract)
