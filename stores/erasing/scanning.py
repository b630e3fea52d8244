"""Everywhere an identifier stands: in files of every kind, opened as far as they can be.

Bytes as they lie are looked at always: free pages of a database and what a table's log says
are among them. What is packed is unpacked and looked at again: Parquet column by column, gzip,
zstd, lz4 and bzip2, zip member by member, and SQLite value by value, as a long value is cut in
pieces there. pyarrow is imported on use.
"""

from __future__ import annotations

import mmap
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, Any, NamedTuple

from core.erasing.sought import Sought
from core.errors import DependencyError

CHUNK_BYTES = 2**22
_BATCH_ROWS = 65_536
_MAGIC = {
    b"PAR1": "parquet",
    b"SQLite format 3\0": "sqlite",
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"BZh": "bz2",
}

Needles = Mapping[bytes, str] | Sought
"""Byte strings alone, or an identifier that knows a longer word from itself."""


class Sighting(NamedTuple):
    """Where identifiers stand: the place, what of it, in which encoding, how often."""

    place: str
    part: str
    encoding: str
    times: int


def scan_tree(root: Path, needles: Needles) -> list[Sighting]:
    """Sightings in every file below a folder, in order of paths; links are not followed."""
    found: list[Sighting] = []
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found += scan_file(path, str(path.relative_to(root)), needles)
    return found


def scan_file(path: Path, place: str, needles: Needles) -> list[Sighting]:
    """Sightings in one file, by where in it they are.

    Raises
    ------
    DependencyError
        If it cannot be read: what was not looked at is not found to be clean.
    """
    try:
        with path.open("rb") as file:
            kind = _kind_of(file.read(16))
            file.seek(0)
            counts = {
                "name": _in_bytes(place.encode(), needles),
                "bytes": _in_stream(file, needles),
            }
        for part, content in _unpacked(path, kind, needles):
            counts[part] = counts.get(part, Counter()) + _in_bytes(content, needles)
    except FileNotFoundError:  # gone meanwhile: nothing stands in it
        return []
    except (OSError, sqlite3.Error, zipfile.BadZipFile, ValueError) as error:
        raise DependencyError(
            "a file cannot be searched, so nothing can be said of it",
            found=f"{type(error).__name__} at {place}",
            remedy="make it readable or remove it, and search again",
            code="unsearchable",
        ) from error
    return [
        Sighting(place, part, encoding, count)
        for part, counted in counts.items()
        for encoding, count in sorted(counted.items())
    ]


def scan_values(
    place: str, pairs: Iterable[tuple[bytes, bytes]], needles: Needles
) -> list[Sighting]:
    """Sightings in keys and values of a store, which are counted and not named."""
    counts = {"key": Counter[str](), "value": Counter[str]()}
    for key, value in pairs:
        counts["key"] += _in_bytes(key, needles)
        counts["value"] += _in_bytes(value, needles)
    return [
        Sighting(place, part, encoding, count)
        for part, counted in counts.items()
        for encoding, count in sorted(counted.items())
    ]


def _in_bytes(content: bytes | memoryview, needles: Needles) -> Counter[str]:
    held = bytes(content)
    if isinstance(needles, Sought):
        return needles.count(held)
    counts: Counter[str] = Counter()
    for needle, encoding in needles.items():
        if n := held.count(needle):
            counts[encoding] += n
    return counts


def _in_stream(file: IO[bytes], needles: Needles) -> Counter[str]:
    """As `_in_bytes`, over a file in bounded memory: chunks overlap by less than a needle."""
    plain = needles.needles if isinstance(needles, Sought) else needles
    overlap = max(map(len, plain), default=1) - 1
    counts: Counter[str] = Counter()
    tail = b""
    while chunk := file.read(CHUNK_BYTES):
        held = tail + chunk
        counts += _in_bytes(held, plain)
        tail = held[-overlap:] if overlap else b""
        counts -= _in_bytes(tail, plain)  # these are counted again with the next chunk
    counts += _in_bytes(tail, plain)
    return _confirmed(file, needles) if counts and isinstance(needles, Sought) else counts


def _confirmed(file: IO[bytes], sought: Sought) -> Counter[str]:
    """What of the needles in a file is the identifier; looked at as a whole, not in chunks."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return sought.count(content)  # type: ignore[arg-type]  # finds and slices as bytes do


def kind_of(path: Path) -> str:
    """What a file is by its first bytes; "" for what is not known to be packed."""
    with path.open("rb") as file:
        return _kind_of(file.read(16))


def _kind_of(head: bytes) -> str:
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


def _unpacked(path: Path, kind: str, needles: Needles) -> Iterator[tuple[str, bytes | memoryview]]:
    if kind == "parquet":
        return _parquet(path, needles)
    if kind == "sqlite":
        return _sqlite(path)
    if kind == "zip":
        return _zip(path)
    if kind:
        return _compressed(path, kind)
    return iter(())


def _parquet(path: Path, needles: Needles) -> Iterator[tuple[str, bytes | memoryview]]:
    """Values of every column, decoded, batch by batch, as they lie side by side in memory.

    To know a longer word, values that may hold the identifier are put down one by one.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH_ROWS):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                held: Iterable[bytes | memoryview] = _buffers(column)
                if isinstance(needles, Sought) and any(map(needles.may_stand_in, map(bytes, held))):
                    held = [b"\0".join(_encoded(value) for value in column.to_pylist())]
                yield from ((f"column {name}", buffer) for buffer in held)


def _buffers(column: Any) -> list[memoryview]:
    from pyarrow.types import is_dictionary

    values = column.dictionary_decode() if is_dictionary(column.type) else column
    return [memoryview(buffer) for buffer in values.buffers() if buffer is not None]


def _sqlite(path: Path) -> Iterator[tuple[str, bytes]]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            quoted = name.decode().replace('"', '""')
            for row in connection.execute(f'SELECT * FROM "{quoted}"'):  # noqa: S608 - its own name
                yield f"table {name.decode()}", b"\0".join(_encoded(value) for value in row)


def _encoded(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return b"" if value is None else str(value).encode("utf-8", "surrogatepass")


def _zip(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            yield f"member {member.filename}", archive.read(member)


def _compressed(path: Path, kind: str) -> Iterator[tuple[str, bytes]]:
    import pyarrow as pa

    with pa.OSFile(str(path)) as raw, pa.CompressedInputStream(raw, kind) as stream:
        yield f"inside {kind}", stream.read()
