"""Dagster's SQLite storage for one machine, without a flush to disk for every event.

A range run over a year writes thousands of events, and SQLite's ``synchronous=FULL`` flushes
each: 88 s of a run that takes 14 s without. Dagster's history can be made again, so a power
cut may cost it; nothing else may be touched. The switch is therefore set on connections to
files below Dagster's own folder only, never on those of MLflow or Feast in this process.
"""

from pathlib import Path
from typing import Any

from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import event
from sqlalchemy.engine import Engine

_folders: set[Path] = set()


def is_below(file: str, folders: set[Path]) -> bool:
    """Whether a database file lies in one of the folders; an in-memory one lies in none."""
    if not file:
        return False
    path = Path(file).resolve()
    return any(path.is_relative_to(folder) for folder in folders)


def _relax(connection: Any, _record: Any) -> None:
    """Switch the flush off when the connection's file is below a registered folder."""
    if "sqlite" not in type(connection).__module__:
        return
    rows = connection.execute("PRAGMA database_list").fetchall()
    if any(is_below(str(row[2]), _folders) for row in rows):
        connection.execute("PRAGMA synchronous=OFF")


class EmbeddedSqliteStorage(DagsterSqliteStorage):
    """SQLite storage whose connections do not wait for the disk. Embedded profile only."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        _folders.add(Path(base_dir).resolve())
        if not event.contains(Engine, "connect", _relax):
            event.listen(Engine, "connect", _relax)
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Any
    ) -> "EmbeddedSqliteStorage":
        """Storage of ``dagster.yaml``; the parent's own would build the parent."""
        return cls(config_value["base_dir"], inst_data)
