"""Batch scores in a PostgreSQL table: as-of dates at a time, whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql

from core.errors import DependencyError, InvalidInputError

CONNECT_TIMEOUT_S = 10
_NAME = re.compile(r"[a-z][a-z0-9_]{0,54}")
_TYPES = {
    pa.string(): "text",
    pa.large_string(): "text",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float64(): "double precision",
    pa.bool_(): "boolean",
    pa.date32(): "date",
}


class ScoreTable:
    """The table ``scores_<use_case>`` of one database.

    Parameters
    ----------
    url
        ``postgresql://user:secret@host/database``; never shown in a message.
    use_case
        Names the table.
    """

    def __init__(self, url: str, use_case: str) -> None:
        if _NAME.fullmatch(use_case) is None:
            raise InvalidInputError("not the name of a use case", found=repr(use_case[:80]))
        self._url = url
        self.name = f"scores_{use_case}"

    def publish(self, as_of: Sequence[str], keys: Sequence[str], rows: pa.Table) -> int:
        """Make the table hold exactly ``rows`` for the dates ``as_of``, in one transaction.

        Rows of the same keys are updated, new ones inserted, others of these dates removed:
        a reader sees the old scores or the new ones, never some of each, and a second call
        changes nothing. Returns the number of rows.

        Raises
        ------
        DependencyError
            If the server cannot be reached or refuses; it then holds what it held before.
        """
        columns = [sql.Identifier(name) for name in rows.column_names]
        table, fresh = sql.Identifier(self.name), sql.Identifier("fresh_scores")
        with self._cursor() as cursor:
            cursor.execute(self._create(keys, rows.schema))
            cursor.execute(
                sql.SQL("CREATE TEMP TABLE {} (LIKE {}) ON COMMIT DROP").format(fresh, table)
            )
            statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
                fresh, sql.SQL(", ").join(columns)
            )
            with cursor.copy(statement) as copy:
                for batch in rows.to_batches():
                    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        copy.write_row(row)
            cursor.execute(self._upsert(keys, rows.column_names))
            cursor.execute(self._prune(keys), [list(as_of)])
        return int(rows.num_rows)

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor[Any]]:
        try:
            with (
                psycopg.connect(self._url, connect_timeout=CONNECT_TIMEOUT_S) as connection,
                connection.cursor() as cursor,
            ):
                yield cursor
        except psycopg.Error as error:
            raise DependencyError(
                f"the scores could not be published to the table {self.name}",
                found=type(error).__name__ + (f" {error.sqlstate}" if error.sqlstate else ""),
                remedy="look at the database server; the table holds what it held before",
                code="scores_database",
            ) from None

    def _create(self, keys: Sequence[str], schema: pa.Schema) -> sql.Composed:
        columns = [
            sql.SQL("{} {}").format(sql.Identifier(field.name), sql.SQL(_type_of(field.type)))
            for field in schema
        ]
        return sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}, PRIMARY KEY ({}))").format(
            sql.Identifier(self.name), sql.SQL(", ").join(columns), _names(keys)
        )

    def _upsert(self, keys: Sequence[str], names: Sequence[str]) -> sql.Composed:
        changes = [
            sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name))
            for name in names
            if name not in keys
        ]
        return sql.SQL(
            "INSERT INTO {} ({}) SELECT {} FROM fresh_scores ON CONFLICT ({}) DO UPDATE SET {}"
        ).format(
            sql.Identifier(self.name),
            _names(names),
            _names(names),
            _names(keys),
            sql.SQL(", ").join(changes),
        )

    def _prune(self, keys: Sequence[str]) -> sql.Composed:
        same = [sql.SQL("f.{0} = t.{0}").format(sql.Identifier(key)) for key in keys]
        return sql.SQL(
            "DELETE FROM {} AS t WHERE t.as_of = ANY(%s::date[])"
            " AND NOT EXISTS (SELECT 1 FROM fresh_scores AS f WHERE {})"
        ).format(sql.Identifier(self.name), sql.SQL(" AND ").join(same))


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join([sql.Identifier(name) for name in names])


def _type_of(kind: pa.DataType) -> str:
    return "timestamptz" if pa.types.is_timestamp(kind) else _TYPES[kind]
