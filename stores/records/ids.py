"""Ids of prediction records, which say where a record stands, and names of segments."""

from __future__ import annotations

import re
from typing import NamedTuple

from core.errors import NotReadyError

# A number is spelt in one way, so that a record has one id.
_ID = re.compile(
    r"([a-z][a-z0-9_]{0,79})-([0-9a-f]{8,12})-(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,11})"
)
_SEGMENT = re.compile(r"([0-9a-f]{8,12})-([0-9]{1,9})")


class RecordId(NamedTuple):
    """Where a record stands."""

    use_case: str
    writer: str
    segment: int
    offset: int

    @property
    def segment_name(self) -> str:
        """File of the segment once it is sealed."""
        return f"{self.writer}-{self.segment}.sealed"

    def __str__(self) -> str:
        return f"{self.use_case}-{self.writer}-{self.segment}-{self.offset}"


def parse_record_id(text: str) -> RecordId:
    """Parts of a record's id.

    Raises
    ------
    NotReadyError
        If the text is not an id, with code ``unknown_record``: there is no such record.
    """
    match = _ID.fullmatch(text)
    if match is None:
        raise unknown_record()
    use_case, writer, segment, offset = match.groups()
    return RecordId(use_case, writer, int(segment), int(offset))


def parse_segment_name(name: str) -> tuple[str, int] | None:
    """Writer and number of a sealed segment by its file's name; None for another file.

    Examples
    --------
    >>> parse_segment_name("0a1b2c3d4e5f-7.sealed"), parse_segment_name("notes.txt")
    (('0a1b2c3d4e5f', 7), None)
    """
    match = _SEGMENT.fullmatch(name.removesuffix(".sealed"))
    if match is None or not name.endswith(".sealed"):
        return None
    return match[1], int(match[2])


def unknown_record() -> NotReadyError:
    """There is no such record."""
    return NotReadyError(
        "no such prediction record",
        remedy="use the prediction_id of an answer of this service",
        code="unknown_record",
    )
