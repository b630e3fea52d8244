"""Landing: a file from outside, copied, hashed and looked through before it is an epoch."""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.clock import DAY_MS
from core.contracts import Source
from core.errors import ConfigurationError, DependencyError, InvalidInputError
from core.mapping import Mapping, check_columns, check_unmapped
from stores.durable import is_still
from stores.log.epochs import FileFormat
from stores.log.line_records import BYTE_ORDER_MARK, MAX_LINE_BYTES, csv_columns, numbered_lines
from stores.log.parquet_records import parquet_rows

LONGEST_DELAY_MS = 3_660 * DAY_MS
"""A longer one is a slip of the pen, and would leave the range of instants."""

FORMATS: dict[str, FileFormat] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}
"""File suffix to format; the suffix decides, the content is checked against it."""

_CHUNK_BYTES = 2**20
_HEAD_BYTES = 2**16
_STAGED_PREFIX = ".staged-"
_MAX_OFFSET_BYTES = 2**32
"""An NDJSON offset is a byte in the file and has 32 bits of a position."""


@dataclass(frozen=True)
class StagedFile:
    """A readable copy inside the log's folder, durable, not yet an epoch.

    ``columns`` is empty where the format names none (NDJSON).
    """

    path: Path
    format: FileFormat
    sha256: str
    bytes: int
    rows: int | None
    columns: tuple[str, ...]


@contextmanager
def staged(path: Path, directory: Path) -> Iterator[StagedFile]:
    """Copy ``path`` into ``directory`` and look through the copy; gone again afterwards.

    The copy is locked while it is staged, so that ``sweep`` tells one whose process died.

    Raises
    ------
    InvalidInputError
        If it is not a file, has a suffix that is not known, is empty or cannot be read.
    DependencyError
        If there is no room for the copy.
    """
    file_format = _format_of(path)
    copy, descriptor = _locked_file(directory, file_format)
    try:
        sha256, size = _copied(path, descriptor)
        rows, columns = _facts(copy, file_format, size)
        yield StagedFile(copy, file_format, sha256, size, rows, columns)
    finally:
        copy.unlink(missing_ok=True)
        os.close(descriptor)


def _locked_file(directory: Path, file_format: FileFormat) -> tuple[Path, int]:
    """A new file for a copy; one that a sweep took before it was locked is made again."""
    while True:
        copy = directory / f"{_STAGED_PREFIX}{uuid.uuid4().hex}.{file_format}"
        descriptor = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if is_still(copy, descriptor):
            return copy, descriptor
        os.close(descriptor)


def sweep(directory: Path) -> None:
    """Remove staged copies whose process died."""
    for copy in directory.glob(f"{_STAGED_PREFIX}*"):
        try:
            with copy.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                copy.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            continue


def landing_files(path: Path) -> list[Path]:
    """Files to land for a path given by a person: itself, or those of a folder by name.

    Raises
    ------
    InvalidInputError
        If there is nothing at ``path``, or no file of a known suffix in the folder.
    """
    try:
        if not path.is_dir():
            _format_of(path)
            return [path]
        files = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in FORMATS)
    except OSError as error:  # a name too long, a folder that may not be entered
        raise _unreadable("the path cannot be followed", error.strerror or "") from error
    if not files:
        raise _unreadable("the folder holds no file that can be landed", f"folder {path.name}")
    return files


def _unreadable(wrong: str, found: str = "") -> InvalidInputError:
    return InvalidInputError(
        wrong,
        found=found,
        remedy="give a Parquet, CSV (with a header) or NDJSON file: "
        + ", ".join(f"*{suffix}" for suffix in FORMATS),
        code="unreadable_file",
    )


def _format_of(path: Path) -> FileFormat:
    if not path.exists():
        raise _unreadable("there is no file of that name", f"nothing at {path}")
    if not path.is_file():
        raise _unreadable("this is not a file", f"a folder or a device at {path}")
    file_format = FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise _unreadable("the file's suffix says no known format", repr(path.suffix[:20]))
    return file_format


def _copied(path: Path, descriptor: int) -> tuple[str, int]:
    """SHA-256 and size of what was copied, durable when this returns."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as original:
            while chunk := original.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
                written = memoryview(chunk)
                while written:
                    written = written[os.write(descriptor, written) :]
        os.fsync(descriptor)
    except PermissionError as error:
        raise _unreadable("the file may not be read", type(error).__name__) from error
    except OSError as error:
        raise DependencyError(
            "a file could not be copied into the log",
            found=error.strerror or type(error).__name__,
            remedy="make room on the disk and land it again; nothing of it was kept",
        ) from error
    return digest.hexdigest(), size


def _facts(path: Path, file_format: FileFormat, size: int) -> tuple[int | None, tuple[str, ...]]:
    """Rows, where they can be counted, and columns of a copy that can be read."""
    if size == 0:
        raise _unreadable("the file is empty")
    if file_format == "parquet":
        columns, rows = parquet_rows(path)
        if rows == 0:
            raise _unreadable("the file holds no row", f"a header of {len(columns)} columns")
        return rows, tuple(columns)
    lines = _text_lines(path, file_format, size)
    if file_format == "csv":
        return None, _csv_header(path, lines)
    if lines == 0:
        raise _unreadable("the file holds no line")
    if size >= _MAX_OFFSET_BYTES:
        raise _unreadable("the NDJSON file is too long for one epoch", f"{size} bytes, of 2**32")
    return lines, ()


def _csv_header(path: Path, lines: int) -> tuple[str, ...]:
    columns = csv_columns(path)
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if not columns or not all(columns) or twice:
        which = f", {twice[0][:64]!r} more than once" if twice and twice[0] else ""
        raise _unreadable(
            "the first line names no distinct columns", f"{len(columns)} cells{which}"
        )
    if lines == 1:
        raise _unreadable("the file holds no row", f"a header of {len(columns)} columns")
    return tuple(columns)


def _text_lines(path: Path, file_format: FileFormat, size: int) -> int:
    """Number of lines that are not blank, of a file that looks like text."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if b"\0" in head:
        raise _unreadable("the file is not UTF-8 text", "NUL bytes; a binary file or UTF-16")
    if file_format == "ndjson" and head.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] == b"[":
        raise _unreadable("the file is one JSON array", "`[`; write one object a line instead")
    count = 0
    for _, line in numbered_lines(path, 0, size):
        if file_format == "csv" and len(line) > MAX_LINE_BYTES:
            raise _unreadable("the file has a line longer than any record", "no end of line")
        count += bool(line.strip())
    return count


def check_delay(*, is_historic: bool, delay_ms: int) -> None:
    """Refuse a delay that makes no sense."""
    if not 0 <= delay_ms <= LONGEST_DELAY_MS or (delay_ms and not is_historic):
        raise InvalidInputError(
            "a delay belongs to historic files, is not negative and not beyond ten years",
            found=f"{delay_ms} ms, historic: {is_historic}",
            remedy="say that the file is historic, or give another delay",
            code="bad_delay",
        )


def check_names(columns: Sequence[str], mapping: Mapping | None, contract: Source | None) -> None:
    """Refuse columns of which no row can come; a format that names none is not looked at."""
    if columns and mapping is not None:
        check_columns(mapping, columns)
    elif columns and contract is not None:
        check_unmapped(contract, columns)


def check_source(mapping: Mapping | None, source: str) -> None:
    """Refuse a mapping that was written for another source."""
    if mapping is not None and mapping.source != source:
        raise ConfigurationError(
            f"the mapping is not for source {source}",
            found=f"a mapping for {mapping.source[:64]}",
            remedy="give the mapping that was written for this source",
            code="bad_mapping",
        )
