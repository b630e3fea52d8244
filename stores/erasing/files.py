"""Somebody's identifier taken out of a single file of whatever kind.

Rows are what is taken out where a file has rows: of Parquet they are nulled in their places. A
value in SQLite, and a stretch of bytes elsewhere, is filled with zeros, so that nothing behind it
moves. What is packed is unpacked, cleaned and packed again.
"""

from __future__ import annotations

import bz2
import gzip
import mmap
import os
import sqlite3
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.erasing.sought import Sought, filling
from core.errors import DependencyError
from stores.durable import sync_directory, write_durably
from stores.erasing.lines import blanked_csv, blanked_lines, needles_in_file
from stores.erasing.mapped import MappedColumns
from stores.erasing.scanning import kind_of, scan_file

LINES = (".ndjson", ".jsonl")
_Packing = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]
_GROUP_ROWS = 2**20
_WAIT_S = 10.0
_SECOND_NS = 10**9


def erase_in_file(path: Path, sought: Sought) -> int:
    """Take the identifier out of a file and of its name; how many places held it.

    Raises
    ------
    DependencyError
        If the file cannot be read or written, or a program holds it.
    """
    found = scan_file(path, path.name, sought)
    in_name = [each for each in found if each.part == "name"]
    if len(found) > len(in_name) or needles_in_file(path, sought):
        with keeping_age(path):
            _erase_content(path, sought)
    if in_name:
        _rename(path, sought)
    return len(found)


@contextmanager
def keeping_age(path: Path) -> Iterator[None]:
    """Leave a file as old as it was, to the second, whatever is written to it meanwhile.

    Its period counts from that time, and must not begin anew whenever somebody is forgotten. The
    fraction is that of the writing: by it a backup tells that the file is another.
    """
    before_ns = path.stat().st_mtime_ns
    yield
    after = path.stat()
    if after.st_mtime_ns != before_ns:
        second = before_ns - before_ns % _SECOND_NS
        marked_ns = second + after.st_mtime_ns % _SECOND_NS
        os.utime(path, ns=(after.st_atime_ns, marked_ns + (marked_ns == before_ns)))


def _erase_content(path: Path, sought: Sought) -> None:
    try:
        _erase_as(path, kind_of(path) or path.suffix.lower(), sought)
    except (OSError, sqlite3.Error, zipfile.BadZipFile, EOFError) as error:
        raise DependencyError(
            "a file that holds the identifier cannot be written anew",
            found=f"{type(error).__name__}: {error}",
            remedy="stop what has it open, or remove the file, and run this again",
            code="cannot_erase",
        ) from error


def _erase_as(path: Path, kind: str, sought: Sought) -> None:
    if kind == "sqlite":
        erase_in_sqlite(path, sought)
    elif kind == "parquet":
        replace_durably(path, lambda draft: null_rows(path, draft, sought))
    elif kind == "zip":
        replace_durably(path, lambda draft: _clean_zip(path, draft, sought))
    elif kind in _PACKED:
        write_durably(path, _repacked(path, kind, sought), mode=_mode(path))
    elif kind in LINES:
        write_durably(path, blanked_lines(path, sought)[0], mode=_mode(path))
    elif kind == ".csv":
        write_durably(path, blanked_csv(path, sought)[0], mode=_mode(path))
    else:
        _overwrite(path, sought)


def replace_durably(path: Path, write: Callable[[Path], Any]) -> Any:
    """Put at ``path`` what ``write`` makes of a draft beside it; what that returned."""
    draft = path.with_name(f".{path.name}.erasing")
    try:
        done = write(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.chmod(_mode(path))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_directory(path.parent)
    return done


def null_rows(path: Path, draft: Path, sought: Sought, mapped: Sequence[MappedColumns] = ()) -> int:
    """Write a Parquet file anew with somebody's rows null in all columns; how many they were."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    n_nulled = 0
    with pq.ParquetFile(path) as file:
        schema = pa.schema([pa.field(f.name, f.type) for f in file.schema_arrow])
        with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
            for batch in file.iter_batches(_GROUP_ROWS):
                theirs = rows_of(batch, sought)
                for columns_of in mapped:
                    theirs |= columns_of.rows_of(batch)
                n_nulled += int(theirs.sum())
                keep = pa.array(~theirs)
                nulls = [pa.nulls(batch.num_rows, column.type) for column in batch.columns]
                pairs = zip(batch.columns, nulls, strict=True)
                columns = [pc.if_else(keep, column, null) for column, null in pairs]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return n_nulled


def rows_of(batch: Any, sought: Sought) -> NDArray[np.bool_]:
    """Which rows of an Arrow batch hold the identifier; only suspicious columns are looked into."""
    theirs = np.zeros(batch.num_rows, bool)
    for column in batch.columns:
        if _may_hold(column, sought):
            theirs |= _holds(column, sought)
    return theirs


def _holds(column: Any, sought: Sought) -> NDArray[np.bool_]:
    """Which values of a column hold it; each distinct one is looked into once."""
    import pyarrow.types as types

    if types.is_nested(column.type):
        return np.array([sought.is_in(value) for value in column.to_pylist()], bool)
    encoded = column if types.is_dictionary(column.type) else column.dictionary_encode()
    distinct = [*(sought.is_in(value) for value in encoded.dictionary.to_pylist()), False]
    places: NDArray[np.int64] = encoded.indices.fill_null(len(distinct) - 1).to_numpy()
    return np.array(distinct, bool)[places]


def _may_hold(column: Any, sought: Sought) -> bool:
    import pyarrow.types as types

    values = column.dictionary_decode() if types.is_dictionary(column.type) else column
    return any(sought.may_stand_in(bytes(b)) for b in values.buffers() if b is not None)


def erase_in_sqlite(path: Path, sought: Sought) -> None:
    """Fill values, then write the whole database anew, as free pages keep what was there."""
    with closing(sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)) as connection:
        connection.text_factory = _as_text
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("BEGIN IMMEDIATE")
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (name,) in tables.fetchall():
            if not name.startswith("sqlite_"):
                _fill_table(connection, _quoted(name), sought)
        connection.execute("COMMIT")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _fill_table(connection: sqlite3.Connection, table: str, sought: Sought) -> None:
    facts = connection.execute(f"PRAGMA table_info({table})").fetchall()
    names = [_quoted(fact[1]) for fact in facts]
    keys = [_quoted(fact[1]) for fact in facts if fact[5]] or ["rowid"]
    columns = ", ".join([*keys, *names])
    rows = connection.execute(f"SELECT {columns} FROM {table}")  # noqa: S608 - its own names
    theirs = [row for row in rows if sought.is_in(row[len(keys) :])]
    values = ", ".join(f"{name} = ?" for name in names)
    where = " AND ".join(f"{key} IS ?" for key in keys)
    # A key that is filled may meet that of somebody who was forgotten before.
    statement = f"UPDATE OR REPLACE {table} SET {values} WHERE {where}"  # noqa: S608 - its own names
    for row in theirs:
        filled = [_filled(value, sought) for value in row[len(keys) :]]
        connection.execute(statement, [*filled, *row[: len(keys)]])


def _filled(value: Any, sought: Sought) -> Any:
    if isinstance(value, bytes):
        return sought.blanked(value)
    if isinstance(value, str):
        return _as_text(sought.blanked(value.encode("utf-8", "surrogateescape")))
    return 0 if sought.is_in(value) else value


def _as_text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _clean_zip(path: Path, draft: Path, sought: Sought) -> None:
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(draft, "w") as target:
        for member in source.infolist():
            content = sought.blanked(source.read(member))
            name = sought.blanked(member.filename.encode()).decode()
            target.writestr(name, content, compress_type=member.compress_type)


def _repacked(path: Path, kind: str, sought: Sought) -> bytes:
    unpack, pack = _PACKED[kind]
    return pack(sought.blanked(unpack(path.read_bytes())))


def _with_arrow(codec: str) -> _Packing:
    def unpack(content: bytes) -> bytes:
        import pyarrow as pa

        with pa.CompressedInputStream(pa.BufferReader(content), codec) as stream:
            return bytes(stream.read())

    def pack(content: bytes) -> bytes:
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(content)
        return bytes(sink.getvalue())

    return unpack, pack


_PACKED: dict[str, _Packing] = {
    "gzip": (gzip.decompress, gzip.compress),
    "bz2": (bz2.decompress, bz2.compress),
    "zstd": _with_arrow("zstd"),
    "lz4": _with_arrow("lz4"),
}


def _overwrite(path: Path, sought: Sought) -> None:
    """Fill bytes where they lie: whoever appends to the file goes on undisturbed.

    They are written, not changed in the map: after that the file is not newer on every file
    system, and a backup that was cleaned would go by its old date and digest.
    """
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            spans = list(sought.spans(content))  # type: ignore[arg-type]
        for start, end, encoding in spans:
            os.pwrite(file.fileno(), filling(end - start, encoding), start)
        os.fsync(file.fileno())


def _rename(path: Path, sought: Sought) -> None:
    name = sought.blanked(path.name.encode("utf-8", "surrogateescape"))
    target = path.with_name(name.decode("utf-8", "surrogateescape"))
    path.rename(target if not target.exists() else target.with_name(f"1{target.name}"))
    sync_directory(path.parent)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777
