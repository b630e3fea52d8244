"""Online values in one SQLite file: the embedded store, shared by threads and processes.

Write-ahead logging lets readers go on while one writer commits. Each thread of each
process has a connection of its own; a connection is never carried over a fork.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import DependencyError
from stores.durable import exclusive_lock

_SCHEMA = """
CREATE TABLE IF NOT EXISTS online (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (
    key BLOB PRIMARY KEY, value BLOB NOT NULL, expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS claims_by_expiry ON claims (expires_ms);
"""
_CLAIM = """
INSERT INTO claims VALUES (?, ?, ?) ON CONFLICT (key)
    DO UPDATE SET value = excluded.value, expires_ms = excluded.expires_ms WHERE expires_ms <= ?
"""
_CHUNK = 500
"""Keys a statement: well below SQLite's limit on parameters."""
_CLAIMED_AT_ONCE = 500
"""Claims a transaction, some milliseconds: who takes events waits for the folder's no longer."""
_PURGED_AT_ONCE = 200
"""Expired claims removed by one call, so that no call pays for all of them."""


class SqliteOnlineStore:
    """`core.ports.OnlineStore` over a SQLite file.

    Parameters
    ----------
    path
        The file; its folder is made when it is not there.
    timeout_s
        Longest wait for another writer.
    """

    def __init__(self, path: Path, *, timeout_s: float = 1.0) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._local = threading.local()
        self._lock = threading.Lock()
        self._opened: list[sqlite3.Connection] = []
        self._process = os.getpid()
        self._is_made = False
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite does not wait while another process turns write-ahead logging on.
            with exclusive_lock(path.with_name(f".{path.name}.lock")):
                self._connection().execute("PRAGMA journal_mode = WAL")
                self._connection().executescript(_SCHEMA)
                self._is_made = True

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of ``keys``; None where there is none."""
        found: dict[bytes, bytes] = {}
        with self._translated():
            connection = self._connection()
            for start in range(0, len(keys), _CHUNK):
                chunk = keys[start : start + _CHUNK]
                marks = ",".join("?" * len(chunk))
                statement = f"SELECT key, value FROM online WHERE key IN ({marks})"  # noqa: S608 - only question marks
                found.update(connection.execute(statement, chunk))
        return [found.get(key) for key in keys]

    def write(self, items: Mapping[bytes, bytes]) -> None:
        """Replace the values of all keys, all or none."""
        with self._transaction() as connection:
            connection.executemany("REPLACE INTO online VALUES (?, ?)", items.items())

    def delete(self, keys: Sequence[bytes]) -> None:
        """Remove keys; absent ones are ignored."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM online WHERE key = ?", [(key,) for key in keys])

    def keys(self, start: bytes) -> list[bytes]:
        """Keys that begin with ``start``, in order."""
        with self._translated():
            rows = self._connection().execute(
                "SELECT key FROM online WHERE key >= ?1 AND substr(key, 1, length(?1)) = ?1"
                " ORDER BY key",
                (start,),
            )
            return [key for (key,) in rows]

    def claim(
        self, items: Mapping[bytes, bytes], *, expires_in_ms: int, now_ms: int
    ) -> dict[bytes, bytes]:
        """Store each key that is absent or expired; return the values of those already held."""
        held: dict[bytes, bytes] = {}
        members = list(items.items())
        for start in range(0, len(members), _CLAIMED_AT_ONCE):
            chunk = members[start : start + _CLAIMED_AT_ONCE]
            held |= self._claim(chunk, expires_ms=now_ms + expires_in_ms, now_ms=now_ms)
        return held

    def _claim(
        self, items: list[tuple[bytes, bytes]], *, expires_ms: int, now_ms: int
    ) -> dict[bytes, bytes]:
        held: dict[bytes, bytes] = {}
        with self._transaction() as connection:
            for key, value in items:
                claimed = connection.execute(_CLAIM, (key, value, expires_ms, now_ms))
                if not claimed.rowcount:
                    row = connection.execute("SELECT value FROM claims WHERE key = ?", (key,))
                    held[key] = row.fetchone()[0]
            connection.execute(
                "DELETE FROM claims WHERE key IN"
                " (SELECT key FROM claims WHERE expires_ms <= ? LIMIT ?)",
                (now_ms, _PURGED_AT_ONCE),
            )
        return held

    def close(self) -> None:
        """Close the connections of all threads of this process."""
        with self._lock:
            if self._process == os.getpid():
                for connection in self._opened:
                    connection.close()
            self._opened = []
            self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        # A file that was removed or replaced lives on for who has it open, and for nobody else.
        there = self._path.stat() if self._is_made else None
        held = getattr(self._local, "file", None)
        is_ours = getattr(self._local, "process", None) == os.getpid()
        if not is_ours or (there is not None and (there.st_dev, there.st_ino) != held):
            self._local.connection = self._open()
            self._local.process = os.getpid()
            there = self._path.stat()
            self._local.file = there.st_dev, there.st_ino
        connection: sqlite3.Connection = self._local.connection
        return connection

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._timeout_s, isolation_level=None, check_same_thread=False
        )
        # A commit survives the process at once; a power cut may take the last ones, which
        # the folder reads from its log again.
        connection.execute("PRAGMA synchronous = NORMAL")
        with self._lock:
            if self._process != os.getpid():  # after a fork: the parent's are not ours to close
                self._opened, self._process = [], os.getpid()
            self._opened.append(connection)
        return connection

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._translated():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[Any]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise DependencyError(
                "the online store (SQLite) failed",
                found=f"{type(error).__name__}: {error}",
                remedy=f"see that {self._path} can be written and is not held by another program",
            ) from error
