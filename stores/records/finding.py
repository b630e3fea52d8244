"""Finding a record by its id: on this machine, in shared storage, in the table."""

from __future__ import annotations

from contextlib import suppress

import pyarrow.dataset as ds

from core.errors import IntegrityError, NotReadyError
from core.packed_records import whole_record
from core.recorded import Record
from stores.layout import Layout
from stores.records.ids import RecordId, parse_record_id, unknown_record
from stores.records.segments import read_record, record_in
from stores.records.shared import open_segments
from stores.tables import dataset_of, open_table


def found_record(layout: Layout, record_id: str) -> Record:
    """The record, wherever on its way it is.

    Raises
    ------
    NotReadyError
        If there is none (code ``unknown_record``).
    IntegrityError
        If bytes stand there that are not what was written.
    """
    where = parse_record_id(record_id)
    with suppress(NotReadyError):
        return _decoded(read_record(layout.records(where.use_case), record_id))
    with suppress(NotReadyError):
        store = open_segments(layout.segments(where.use_case))
        return _decoded(record_in(store.read(where.segment_name), where.offset))
    return _decoded(_from_table(layout, where))


def _from_table(layout: Layout, where: RecordId) -> str:
    try:
        table = open_table(layout.predictions(where.use_case))
    except NotReadyError:
        raise unknown_record() from None
    is_it = ds.field("prediction_id") == str(where)
    near = (ds.field("writer") == where.writer) & (ds.field("segment") == where.segment)
    rows = dataset_of(table).to_table(columns=["record"], filter=near & is_it)
    if not rows.num_rows:
        raise unknown_record()
    record: str = rows["record"][0].as_py()
    return record


def _decoded(payload: bytes | str) -> Record:
    try:
        return whole_record(payload)
    except ValueError as error:
        raise IntegrityError("a record is not JSON", code="damaged_record") from error
