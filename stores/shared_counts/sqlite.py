"""Rollout counts in one SQLite file, for the processes of one machine."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.errors import DependencyError
from stores.durable import exclusive_lock
from stores.shared_counts import KEPT_MS

_SCHEMA = """
CREATE TABLE IF NOT EXISTS counts (
    experiment TEXT, worker TEXT, document BLOB NOT NULL, at_ms INTEGER NOT NULL,
    PRIMARY KEY (experiment, worker)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entities (
    experiment TEXT, entity BLOB, PRIMARY KEY (experiment, entity)
) WITHOUT ROWID;
"""
_TABLES = ("counts", "entities")


class SqliteSharedCounts:
    """`SharedCounts` over a SQLite file, made when it is not there.

    A connection lives for one call: calls come twice a second, from whatever thread is free.
    """

    def __init__(self, path: Path, *, timeout_s: float = 1.0) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._is_made = False

    def first_seen(self, experiment: str, entities: Sequence[bytes]) -> list[bool]:
        """Remember entities; of each, whether nobody had told of it before."""
        statement = "INSERT OR IGNORE INTO entities VALUES (?, ?)"
        with self._transaction() as connection:
            return [
                connection.execute(statement, (experiment, entity)).rowcount == 1
                for entity in entities
            ]

    def publish(self, experiment: str, worker: str, document: bytes, *, now_ms: int) -> None:
        """Put a worker's document in the place of its last one; what is old goes."""
        with self._transaction() as connection:
            connection.execute(
                "REPLACE INTO counts VALUES (?, ?, ?, ?)", (experiment, worker, document, now_ms)
            )
            connection.execute("DELETE FROM counts WHERE at_ms < ?", (now_ms - KEPT_MS,))

    def read(self, experiment: str) -> dict[str, bytes]:
        """Last document of every worker."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT worker, document FROM counts WHERE experiment = ?", (experiment,)
            )
            return dict(rows.fetchall())

    def forget(self, experiment: str) -> None:
        """Drop everything about an experiment."""
        with self._transaction() as connection:
            for table in _TABLES:
                connection.execute(
                    f"DELETE FROM {table} WHERE experiment = ?",  # noqa: S608 - names from above
                    (experiment,),
                )

    def close(self) -> None:
        """Nothing: a connection lives for one call."""

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(self._opened()) as connection:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")  # without it, closing takes everything back
        except (sqlite3.Error, OSError) as error:
            self._is_made = False  # somebody may have taken the file away
            raise DependencyError(
                "the rollout's counts (SQLite) cannot be reached",
                found=f"{type(error).__name__}: {error}",
                remedy=f"see that {self._path} can be written and is not held by another program",
            ) from error

    def _opened(self) -> sqlite3.Connection:
        if not self._is_made:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite does not wait while another process turns write-ahead logging on.
            lock = self._path.with_name(f".{self._path.name}.lock")
            with exclusive_lock(lock), contextlib.closing(self._connected()) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_SCHEMA)
            self._is_made = True
        return self._connected()

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=self._timeout_s, isolation_level=None)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection
