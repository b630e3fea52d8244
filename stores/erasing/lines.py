"""Somebody's records in NDJSON and CSV files, blanked so that every other stays where it is.

A line of NDJSON is named by its byte, so it is filled with spaces; a row of CSV by its number, so
its cells are emptied. The new content is whole before anything of the old one is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from core.erasing.sought import Sought
from stores.erasing.mapped import MappedColumns
from stores.log.line_records import csv_texts, parsed_line

CHUNK_LINES_BYTES = 2**22


def blanked_lines(
    path: Path, sought: Sought, mapped: Sequence[MappedColumns] = ()
) -> tuple[bytes, int]:
    r"""Content of an NDJSON file without somebody's lines, of the same length; how many they were.

    A line keeps the time of arrival that stands before its record.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "e.ndjson"
    ...     _ = path.write_bytes(b'1\t{"card": "card-7"}\n2\t{"card": "card-8"}\n')
    ...     blanked_lines(path, Sought("card-7"))
    (b'1\t                  \n2\t{"card": "card-8"}\n', 1)
    """
    lines = path.read_bytes().split(b"\n")
    n_blanked = 0
    for place, line in enumerate(lines):
        if sought.stands_in(line) or _is_mapped(line, mapped):
            lines[place] = _blank(line)
            n_blanked += 1
    return b"\n".join(lines), n_blanked


def _is_mapped(line: bytes, mapped: Sequence[MappedColumns]) -> bool:
    raw = parsed_line(line) if mapped else None
    return isinstance(raw, dict) and any(columns.is_in_record(raw) for columns in mapped)


def _blank(line: bytes) -> bytes:
    stamp, tab, text = line.partition(b"\t")
    return stamp + tab + b" " * len(text) if tab and stamp.isdigit() else b" " * len(line)


def blanked_csv(
    path: Path, sought: Sought, mapped: Sequence[MappedColumns] = ()
) -> tuple[bytes, int]:
    """Content of a CSV file with the cells of somebody's rows emptied; how many rows they were."""
    parts: list[str] = []
    n_blanked = 0
    for text, n_cells, raw in csv_texts(path):
        is_mapped = isinstance(raw, dict) and any(each.is_in_record(raw) for each in mapped)
        if is_mapped or (raw is not None and sought.is_in(text)):
            parts.append(_empty_row(n_cells, text))
            n_blanked += 1
        else:
            parts.append(text)
    mark = b"\xef\xbb\xbf" if path.read_bytes()[:3] == b"\xef\xbb\xbf" else b""
    return mark + "".join(parts).encode("utf-8", "surrogateescape"), n_blanked


def _empty_row(n_cells: int, text: str) -> str:
    """As many empty cells; the quotes make a row of a single one, which else were a blank line."""
    end = text[len(text.rstrip("\r\n")) :]
    return '""' + "," * (n_cells - 1) + end


def needles_in_file(path: Path, sought: Sought) -> bool:
    """Whether a needle is anywhere in a file, as it lies; in bounded memory."""
    overlap = max(map(len, sought.needles)) - 1
    tail = b""
    for chunk in _chunks(path):
        if sought.may_stand_in(tail + chunk):
            return True
        tail = (tail + chunk)[-overlap:]
    return False


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_LINES_BYTES):
            yield chunk
