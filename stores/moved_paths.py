"""Absolute paths in a database of MLflow, named anew where a home has come to lie elsewhere."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def name_root_anew(database: Path, former: Path, root: Path) -> int:
    """Let every value that is a path or ``file:`` URI below ``former`` name ``root`` instead.

    Returns how many values were changed.
    """
    pairs = [
        (f"{former}/", f"{root}/"),
        (f"{former.as_uri()}/", f"{root.as_uri()}/"),
        (f"file:{former}/", f"file:{root}/"),
    ]
    changed = 0
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in _text_columns(connection):
            for before, after in pairs:
                changed += connection.execute(
                    # Names are those that the database itself gives.
                    f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?)'  # noqa: S608
                    f' WHERE substr("{column}", 1, ?) = ?',
                    (after, len(before) + 1, len(before), before),
                ).rowcount
    return changed


def _text_columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    tables = [name for (name,) in connection.execute(names).fetchall()]
    return [
        (table, column[1])
        for table in tables
        for column in connection.execute(f'PRAGMA table_info("{table}")').fetchall()
        if "CHAR" in column[2].upper() or "TEXT" in column[2].upper()
    ]
