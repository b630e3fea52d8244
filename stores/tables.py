"""Delta tables read by delta-rs, each at one fixed version."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from core.clock import event_date
from core.erasing.erasure import ERASED
from core.errors import NotReadyError
from core.retention import NEWEST_REMOVED

_COMMITS_LOOKED_AT = 200


def open_table(uri: str, *, version: int | None = None) -> DeltaTable:
    """Table at a version, the newest when none is given.

    Raises
    ------
    NotReadyError
        If there is no table.
    """
    if not DeltaTable.is_deltatable(uri):
        raise NotReadyError(
            "a table does not exist yet",
            found=f"no Delta table at {uri}",
            remedy="ingest the source and build its features first",
        )
    return DeltaTable(uri, version=version)


def epoch_said(table: DeltaTable) -> int | None:
    """Epoch of the log up to which the table is complete; None where no commit says one.

    Compaction and clean-up commit without saying an epoch; the newest commit that does counts.
    """
    for version, commit in _commits(table.table_uri):
        said = _metadata(commit)
        if version <= table.version() and "epoch" in said:
            return int(said["epoch"])
    return None


class Removal(NamedTuple):
    """Rows were removed from a table: when, and the newest event date of theirs, if it is said."""

    at_ms: int
    newest_date: str | None


def removals_said(table: DeltaTable) -> list[Removal]:
    """Removals of rows from the table, newest first, as its commits tell of them.

    Commits are known for as long as the table keeps its log.
    """
    return [
        Removal(int(commit["timestamp"]), _metadata(commit).get(NEWEST_REMOVED))
        for version, commit in _commits(table.table_uri)
        if version <= table.version() and _has_removed(commit)
    ]


def _has_removed(commit: dict[str, Any]) -> bool:
    metrics = commit.get("operationMetrics") or {}
    counts = (metrics.get(name) for name in ("numDeletedRows", "numTargetRowsDeleted"))
    if _metadata(commit).get(ERASED):
        return True
    return commit.get("operation") == "DELETE" or any(int(count or 0) for count in counts)


def _metadata(commit: dict[str, Any]) -> dict[str, Any]:
    """What a commit of ours says of itself; nothing where it says nothing."""
    said: dict[str, Any] = json.loads(commit.get("userMetadata") or "{}")
    return said


def _commits(uri: str) -> list[tuple[int, dict[str, Any]]]:
    """Commits with their versions, newest first.

    delta-rs lists the newest commits, whatever version was opened, and numbers them from
    that version down: the numbers are right only if nothing was committed meanwhile.
    """
    while True:
        newest = DeltaTable(uri)
        commits = newest.history(_COMMITS_LOOKED_AT)
        if DeltaTable(uri).version() == newest.version():
            return [(newest.version() - age, commit) for age, commit in enumerate(commits)]


def read_dates(
    table: DeltaTable,
    columns: Iterable[str],
    *,
    from_ms: int | None = None,
    to_ms: int | None = None,
    where: ds.Expression | None = None,
) -> pa.Table:
    """Columns of the rows whose event date lies between two instants, both included.

    Only whole dates are cut away: rows outside the instants may come along. ``where``
    leaves out more.
    """
    condition = where
    for instant_ms, is_first in ((from_ms, True), (to_ms, False)):
        if instant_ms is None:
            continue
        day = date.fromisoformat(event_date(instant_ms))
        bound = ds.field("event_date") >= day if is_first else ds.field("event_date") <= day
        condition = bound if condition is None else condition & bound
    return dataset_of(table).to_table(columns=list(columns), filter=condition)


def dataset_of(table: DeltaTable) -> ds.Dataset:
    """Table as a dataset, its files opened by Arrow itself where they are on this machine.

    Through delta-rs they are opened by calls back into Python from Arrow's threads, and a
    process that ends right after a read is then aborted about one time in six.
    """
    if "://" not in table.table_uri or table.table_uri.startswith("file://"):
        root = unquote(table.table_uri.removeprefix("file://"))
        return table.to_pyarrow_dataset(filesystem=SubTreeFileSystem(root, LocalFileSystem()))
    return table.to_pyarrow_dataset()
