"""Somebody's prediction records, in segments: their payloads filled with spaces, in place.

A record's id says where it stands, so none may move. A record of spaces is one that was erased:
whoever asks for it hears that there is none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from core.erasing.sought import Sought
from core.errors import NotReadyError
from core.packed_records import whole_record
from stores.erasing.files import keeping_age
from stores.records.ids import parse_segment_name
from stores.records.segments import blank_frame, frames_of
from stores.records.shared import SegmentStore


def is_segment(path: Path) -> bool:
    """Whether a file is a segment of prediction records, sealed or being written."""
    return parse_segment_name(path.with_suffix(".sealed").name) is not None and path.suffix in (
        ".open",
        ".sealed",
    )


def erase_in_segment(path: Path, sought: Sought) -> int:
    """Blank somebody's records where they lie; how many they were.

    The file is written in place: a writer that has it open appends behind it.
    """
    content = path.read_bytes()
    frames = _theirs(content, sought)
    if frames:
        with keeping_age(path):
            _blank(path, frames)
    return len(frames)


def _blank(path: Path, frames: Iterable[tuple[int, bytes]]) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        for offset, payload in frames:
            os.pwrite(descriptor, blank_frame(payload), offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def erase_in_shared(store: SegmentStore, names: Iterable[str], sought: Sought) -> int:
    """Blank somebody's records in segments of shared storage; how many they were.

    One that went into the table meanwhile is passed over.
    """
    n_erased = 0
    for name in names:
        try:
            content = bytearray(store.read(name))
        except NotReadyError:
            continue
        frames = _theirs(bytes(content), sought)
        for offset, payload in frames:
            frame = blank_frame(payload)
            content[offset : offset + len(frame)] = frame
        if frames:
            store.put(name, bytes(content))
        n_erased += len(frames)
    return n_erased


def _theirs(content: bytes, sought: Sought) -> list[tuple[int, bytes]]:
    return [(at, payload) for at, payload in frames_of(content) if _is_theirs(payload, sought)]


def _is_theirs(payload: bytes, sought: Sought) -> bool:
    """Whether the identifier stands in a record; a number may be one of those that are packed."""
    if sought.stands_in(payload):
        return True
    if not sought.identifier.isdecimal():
        return False
    try:
        record = whole_record(payload)
    except ValueError:  # nothing that the service wrote: its bytes are all there is
        return False
    return sought.is_in(record)
