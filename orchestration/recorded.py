"""Recorded predictions of a use case, wherever they are by now, each once.

Records move one way: from this machine's segments to shared storage, and from there into the
table. They are read in that order, so that none slips by on its way.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from core.errors import IntegrityError, NotReadyError
from core.packed_records import whole_record
from stores.layout import Layout
from stores.records.ids import RecordId, parse_record_id, parse_segment_name
from stores.records.segments import records_of, scan
from stores.records.shared import open_segments

Recorded = tuple[str, dict[str, Any]]
Place = tuple[str, int]


def recorded_predictions(
    layout: Layout, use_case: str, *, from_ms: int | None = None, to_ms: int | None = None
) -> Iterator[Recorded]:
    """Ids and records of the predictions received at ``from_ms`` or later, before ``to_ms``.

    Raises
    ------
    IntegrityError
        If a record or a segment is not what the service wrote.
    DependencyError
        If shared storage fails.
    """
    for record_id, payload in _payloads(layout, use_case):
        try:
            record = whole_record(payload)
            received_ms = record["received_at_ms"]
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"record {record_id} is not one that the service writes",
                found=type(error).__name__,
                remedy="see which version of the service wrote it",
                code="damaged_record",
            ) from error
        if (from_ms is None or received_ms >= from_ms) and (to_ms is None or received_ms < to_ms):
            yield record_id, record


def _payloads(layout: Layout, use_case: str) -> Iterator[tuple[str, bytes | str]]:
    seen: set[Place] = set()
    for place, frames in chain(_local(layout, use_case), _shared(layout, use_case)):
        if place not in seen:
            seen.add(place)
            for offset, payload in frames:
                yield str(RecordId(use_case, *place, offset)), payload
    for record_id, text in _in_table(layout.predictions(use_case)):
        where = parse_record_id(record_id)
        if (where.writer, where.segment) not in seen:
            yield record_id, text


def _local(layout: Layout, use_case: str) -> Iterator[tuple[Place, Iterable[tuple[int, bytes]]]]:
    """Segments on this machine, open ones too: whole records are whole."""
    for path in sorted(layout.records(use_case).glob("*-*.*")):
        place = parse_segment_name(path.with_suffix(".sealed").name)
        if place is None or path.suffix not in (".open", ".sealed"):
            continue
        for name in (path, path.with_suffix(".sealed")):  # it may be sealed meanwhile
            try:
                yield place, list(scan(name))
            except FileNotFoundError:
                continue
            break


def _shared(layout: Layout, use_case: str) -> Iterator[tuple[Place, Iterable[tuple[int, bytes]]]]:
    store = open_segments(layout.segments(use_case))
    for segment in store.waiting():
        place = parse_segment_name(segment.name)
        if place is None:
            continue
        try:
            yield place, records_of(store.read(segment.name))
        except NotReadyError:  # it went into the table meanwhile
            continue


def _in_table(uri: str) -> Iterator[tuple[str, str]]:
    from deltalake import DeltaTable

    from stores.tables import dataset_of, open_table

    if not DeltaTable.is_deltatable(uri):
        return
    rows = dataset_of(open_table(uri))
    for batch in rows.to_batches(columns=["prediction_id", "record"]):
        columns = (batch.column(name).to_pylist() for name in ("prediction_id", "record"))
        yield from zip(*columns, strict=True)
