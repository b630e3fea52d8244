"""Somebody's rows taken out of a Delta table, of its history and of its log.

Partitions that hold such rows are written anew, one commit each that says nothing of whose rows
went: a condition on the identifier would stand in the log for good. Then every file that the newest
version does not read is removed at once, so older versions can no longer be read. Every step may be
killed and done again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from numpy.typing import NDArray

from core.erasing.erasure import ERASED
from core.erasing.sought import Sought
from stores.erasing.files import rows_of
from stores.erasing.mapped import refused_rows_of
from stores.erasing.trees import FolderTree, Tree
from stores.table_locks import local_path, table_lock
from stores.tables import dataset_of

WRITER = "erasure"
_LOG = "_delta_log"
_BATCH_ROWS = 65_536


def erase_in_table(uri: str, sought: Sought, tree: Tree | None = None) -> dict[str, int]:
    """Rows and partitions written anew, and files purged, of a table; under its lock.

    ``tree`` are the table's files, where they are not on this machine.
    """
    files = tree or FolderTree(local_path(uri) or Path(uri))
    with table_lock(uri):
        table = DeltaTable(uri)
        dataset = dataset_of(table)  # once: a partition is written anew from its own files alone
        n_rows = n_partitions = n_files = 0
        for condition, predicate in _partitions(table, dataset.schema):
            kept = _Kept(dataset, condition, sought)
            if kept.holds_any():
                n_rows += _rewrite(table, kept, predicate)
                n_partitions += 1
        if n_partitions or files.sightings(sought):
            n_files = _purge(table, sought, files)
    return {"rows": n_rows, "partitions": n_partitions, "purged_files": n_files}


def count_in_table(uri: str, sought: Sought, column: str) -> dict[str, int]:
    """How many of somebody's rows a table holds, by the value of a column."""
    counts: dict[str, int] = {}
    dataset = dataset_of(DeltaTable(uri))
    for batch in dataset.to_batches(batch_size=_BATCH_ROWS):
        theirs = rows_of(batch, sought)
        for value in batch.column(column).filter(pa.array(theirs)).to_pylist():
            counts[str(value)] = counts.get(str(value), 0) + 1
    return counts


class _Kept:
    """Rows of a partition but for somebody's, batch by batch."""

    def __init__(self, dataset: ds.Dataset, condition: Any, sought: Sought) -> None:
        self._dataset = dataset
        self._condition = condition
        self._sought = sought
        self.n_left_out = 0

    def _batches(self) -> Iterator[pa.RecordBatch]:
        return iter(self._dataset.to_batches(filter=self._condition, batch_size=_BATCH_ROWS))

    def _theirs(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        theirs = rows_of(batch, self._sought)
        if {"raw", "mapping"} <= set(batch.schema.names):  # refused records, as they came
            theirs |= refused_rows_of(batch, self._sought.identifier)
        return theirs

    def holds_any(self) -> bool:
        return any(self._theirs(batch).any() for batch in self._batches())

    def reader(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(self._dataset.schema, self._others())

    def _others(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches():
            theirs = self._theirs(batch)
            self.n_left_out += int(theirs.sum())
            yield batch.filter(pa.array(~theirs))


def _partitions(table: DeltaTable, schema: pa.Schema) -> list[tuple[Any, str | None]]:
    """Condition of every partition for Arrow, and for Delta; the whole table where it has none."""
    columns = table.metadata().partition_columns
    if not columns:
        return [(None, None)]
    found = {tuple(sorted(each.items())) for each in table.partitions()}
    kinds = {field.name: field.type for field in schema}
    return [_condition(dict(values), kinds) for values in sorted(found, key=str)]


def _condition(values: dict[str, Any], kinds: dict[str, pa.DataType]) -> tuple[Any, str]:
    condition: Any = None
    predicates = []
    for name, value in values.items():
        if value is None:
            one, predicate = ds.field(name).is_null(), f"{name} IS NULL"
        else:
            one = ds.field(name) == pa.scalar(str(value)).cast(kinds[name])
            predicate = f"{name} = {_literal(value, kinds[name])}"
        condition = one if condition is None else condition & one
        predicates.append(predicate)
    return condition, " AND ".join(predicates)


def _literal(value: Any, kind: pa.DataType) -> str:
    is_number = pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if is_number:
        return str(value)
    text = value.isoformat() if isinstance(value, date) else str(value)
    return "'" + text.replace("'", "''") + "'"


def _rewrite(table: DeltaTable, kept: _Kept, predicate: str | None) -> int:
    table.update_incremental()
    number = int(table.transaction_version(WRITER) or 0) + 1
    said = CommitProperties(
        app_transactions=[Transaction(WRITER, number)],
        custom_metadata={"userMetadata": json.dumps({ERASED: True})},
    )
    write_deltalake(
        table, kept.reader(), mode="overwrite", predicate=predicate, commit_properties=said
    )
    return kept.n_left_out


def _purge(table: DeltaTable, sought: Sought, files: Tree) -> int:
    """Remove every file that the newest version does not read, and the log where it says it."""
    before = _data_files(files)
    table.update_incremental()
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    _remove_strays(files, {Path(file).name for file in table.file_uris()}, sought)
    if files.sightings(sought, _LOG):
        _shorten_log(table.table_uri, files)
    return max(0, before - _data_files(files))


def _data_files(files: Tree) -> int:
    return sum(1 for name in files.names() if name.endswith(".parquet"))


def _remove_strays(files: Tree, live: set[str], sought: Sought) -> None:
    """Files that the table does not read: of a writer that was killed, of a change feed."""
    places = {sighting.place for sighting in files.sightings(sought)}
    strays = (place for place in places if not place.startswith(f"{_LOG}/"))
    files.remove(sorted(place for place in strays if Path(place).name not in live))


def _shorten_log(uri: str, files: Tree) -> None:
    """Begin the log with a checkpoint of the newest version, in which only its own files are."""
    table = DeltaTable(uri)
    table.create_checkpoint()
    version = f"{table.version():020d}"
    entries = (name for name in files.names() if name.startswith(f"{_LOG}/"))
    numbers = {name: Path(name).name.split(".")[0] for name in entries}
    files.remove([name for name, n in numbers.items() if n.isdigit() and n < version])
