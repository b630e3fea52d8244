"""Somebody's online values removed: every key that names them, in SQLite or in Redis.

Values under the keys of others are never written here, as they carry checks of their own; one that
holds the identifier (in the id of an event) is made anew by batch from what is left.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from core.erasing.sought import Sought
from core.errors import DependencyError
from stores.erasing.lines import needles_in_file
from stores.online.redis import all_pairs, client_at, translated

TABLES = ("online", "claims")
_WAIT_S = 10.0
_ASKED_S = 10.0
_CHUNK = 1_000


def is_sqlite(url: str) -> bool:
    """Whether online values are in a file."""
    return url.startswith("sqlite:///")


def erase_online(url: str, sought: Sought) -> int:
    """Remove somebody's keys; how many they were. DependencyError when the store fails."""
    if is_sqlite(url):
        return erase_in_database(Path(url.removeprefix("sqlite:///")), sought)
    theirs = [key for key, _ in all_pairs(url) if sought.stands_in(key)]
    client = client_at(url, timeout_s=_ASKED_S)
    with translated(), closing(client):
        for start in range(0, len(theirs), _CHUNK):
            client.unlink(*theirs[start : start + _CHUNK])
    return len(theirs)


def erase_in_database(path: Path, sought: Sought) -> int:
    """As `erase_online`, for a file; written anew where a free page still holds the identifier."""
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            n_removed = sum(_removed(connection, table, sought) for table in _there(connection))
            if n_removed or any(needles_in_file(file, sought) for file in _files(path)):
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return n_removed
    except sqlite3.Error as error:
        raise DependencyError(
            "online values could not be removed",
            found=f"{type(error).__name__}: {error}",
            remedy="stop the folder and the service, and run this again",
            code="cannot_erase",
        ) from error


def _there(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    names = {name for (name,) in found}
    return [table for table in TABLES if table in names]


def _removed(connection: sqlite3.Connection, table: str, sought: Sought) -> int:
    keys = connection.execute(f"SELECT key FROM {table}")  # noqa: S608 - one of two names
    theirs = [(key,) for (key,) in keys if sought.stands_in(key)]
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(f"DELETE FROM {table} WHERE key = ?", theirs)  # noqa: S608 - as above
    connection.execute("COMMIT")
    return len(theirs)


def _files(path: Path) -> Iterator[Path]:
    for file in (path, path.with_name(f"{path.name}-wal")):
        if file.exists():
            yield file
