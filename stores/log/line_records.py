"""Records of NDJSON and CSV files, in bounded memory; what cannot be read is yielded too."""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from stores.log.epochs import Malformed, Record

MAX_LINE_BYTES = 2**20
"""Longest record; a longer line is malformed."""

_BUFFER_BYTES = 2**20
_MAX_STAMP_DIGITS = 15
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def appended_records(
    path: Path, *, start: int, end: int, fallback_ms: int, is_tail: bool = False
) -> Iterator[Record]:
    """Records of a file of events: each line is ``<ingested_at_ms> TAB <JSON object>``.

    ``start`` is the offset of a line, ``end`` how much of the file counts. ``is_tail``
    leaves out a last line without its newline: it is still being written, or torn. A line
    that was blanked behind its time of arrival is passed over.
    """
    for offset, line in numbered_lines(path, start, end):
        if is_tail and not line.endswith(b"\n"):
            return
        stamp, tab, text = line.partition(b"\t")
        if tab and not text.strip():
            continue
        if tab and stamp.isdigit() and len(stamp) <= _MAX_STAMP_DIGITS:
            yield Record(offset, parsed_line(text), int(stamp))
        else:
            yield Record(offset, _malformed(line, "has no time of arrival"), fallback_ms)


def numbered_events(path: Path, *, start: int, end: int) -> Iterator[Record]:
    """Records of events taken out of a topic: ``<number> TAB <ingested_at_ms> TAB <JSON>``.

    From number ``start`` on; a line that was blanked behind its number is passed over.
    """
    for _, line in numbered_lines(path, 0, end):
        number, _, rest = line.partition(b"\t")
        stamp, _, text = rest.partition(b"\t")
        if stamp.strip() and int(number) >= start:
            yield Record(int(number), parsed_line(text), int(stamp))


def ndjson_records(path: Path, *, start: int, end: int, ingested_at_ms: int) -> Iterator[Record]:
    """Records of a landed NDJSON file; blank lines are passed over."""
    for offset, line in numbered_lines(path, start, end):
        text = line.removeprefix(BYTE_ORDER_MARK) if offset == 0 else line
        if text.strip():
            yield Record(offset, parsed_line(text), ingested_at_ms)


def parsed_line(line: bytes) -> dict[str, Any] | Malformed:
    """Object of one JSON line, or why it is none."""
    if len(line) > MAX_LINE_BYTES:
        return _malformed(line, f"is longer than {MAX_LINE_BYTES} bytes")
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError:
        return _malformed(line, "is not UTF-8 text")
    except (ValueError, RecursionError):  # among them integers of more than 4,300 digits
        return _malformed(line, "is not JSON")
    return value if isinstance(value, dict) else _malformed(line, "is not a JSON object")


def _malformed(line: bytes, message: str) -> Malformed:
    text = line[:MAX_LINE_BYTES].decode("utf-8", "backslashreplace")
    return Malformed(text.rstrip("\r\n"), message)


def numbered_lines(path: Path, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Lines with their offsets; of one that is too long only the head is kept."""
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        file.seek(start)
        offset = start
        while offset < end:
            line = file.readline(min(MAX_LINE_BYTES + 1, end - offset))
            if not line:
                return
            length = len(line)
            if length > MAX_LINE_BYTES and not line.endswith(b"\n"):
                length += _skip_line(file, end - offset - length)
            yield offset, line
            offset += length


def _skip_line(file: BinaryIO, limit: int) -> int:
    """Bytes passed over up to and with the next newline."""
    skipped = 0
    while skipped < limit:
        chunk = file.readline(min(MAX_LINE_BYTES, limit - skipped))
        skipped += len(chunk)
        if not chunk or chunk.endswith(b"\n"):
            break
    return skipped


def csv_columns(path: Path) -> list[str]:
    """Names in the first line of a CSV file; empty when it has none."""
    with _open_csv(path) as file:
        try:
            return next(csv.reader(file, strict=True), [])
        except csv.Error:
            return []


def csv_records(path: Path, *, start: int, ingested_at_ms: int) -> Iterator[Record]:
    """Records of a landed CSV file from row ``start``; an empty cell is null.

    A quote that is never closed would swallow all rows behind it. So when a record of
    several lines does not fit, only its first line is malformed and the others are read
    again, each on its own.
    """
    with _open_csv(path) as file:
        lines = _LineSource(file)
        columns = next(csv.reader(lines, strict=True), [])
        rows = (raw for _, raw in _csv_rows(lines, columns) if raw is not None)
        for row_number, raw in enumerate(rows):
            if row_number >= start:
                yield Record(row_number, raw, ingested_at_ms)


def csv_texts(path: Path) -> Iterator[tuple[str, int, dict[str, Any] | Malformed | None]]:
    """The text of a CSV file, one record at a time, the first line with its names included.

    With each text the number of cells that a row has, and the row; None where it is none.
    """
    with _open_csv(path) as file:
        lines = _LineSource(file)
        columns = next(csv.reader(lines, strict=True), [])
        yield "".join(lines.taken), len(columns), None
        for text, raw in _csv_rows(lines, columns):
            yield text, len(columns), raw


def _csv_rows(
    lines: _LineSource, columns: list[str]
) -> Iterator[tuple[str, dict[str, Any] | Malformed | None]]:
    """Text and record of every row; no record where the text is a blank line."""
    expected = len(columns)
    while True:
        lines.forget()
        message = f"does not have {expected} cells"
        try:
            cells = next(csv.reader(lines, strict=True), None)
        except csv.Error:
            cells, message = [], "is not a CSV record"
        if cells is None:
            return
        if len(cells) == expected:
            row = {name: cell or None for name, cell in zip(columns, cells, strict=True)}
            yield "".join(lines.taken), row
        elif cells or lines.taken:
            first = lines.keep_first()
            encoded = first.encode("utf-8", "surrogateescape")
            yield first, _malformed(encoded, message) if first.strip() else None


class _LineSource:
    """Lines of a file, with those of the present record kept so that they can be put back."""

    def __init__(self, file: Iterator[str]) -> None:
        self._file = file
        self._waiting: deque[str] = deque()
        self.taken: list[str] = []

    def __iter__(self) -> _LineSource:
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else next(self._file)
        self.taken.append(line)
        return line

    def forget(self) -> None:
        """Start a new record."""
        self.taken = []

    def keep_first(self) -> str:
        """First line of the record; the others will come again."""
        first, *others = self.taken
        self._waiting.extendleft(reversed(others))
        return first


def _open_csv(path: Path) -> Any:
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
