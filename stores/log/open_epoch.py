"""The data file of an open epoch: lines added at its end, whole or cut off again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_BLOCK_BYTES = 2**16


class Waiting(NamedTuple):
    """Events in an open epoch: how many, their bytes, and when the first was appended."""

    events: int
    bytes: int
    since_ms: int


def append_lines(path: Path, lines: Sequence[bytes]) -> tuple[int, list[int]]:
    """Write lines behind what is there; the caller holds the log's lock.

    A torn end left by a writer that died is cut off first, and what this call wrote of a
    line when it fails. Whole lines are never cut: a reader may have seen them.

    Returns
    -------
    tuple
        An open descriptor, for the caller to sync and close, and the offset of each line.

    Raises
    ------
    OSError
        If the disk does not take the lines; no descriptor is left open.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        offset = cut_torn_end(descriptor)
        offsets = []
        for line in lines:
            offsets.append(offset)
            offset += len(line)
        _write_all(descriptor, b"".join(lines))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, offsets


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        cut_torn_end(descriptor)
        raise


def cut_torn_end(descriptor: int) -> int:
    """Size of the file once everything behind its last newline is cut off."""
    size = os.fstat(descriptor).st_size
    whole = whole_lines_bytes(descriptor, size)
    if whole < size:
        os.ftruncate(descriptor, whole)
    return whole


def whole_lines_bytes(descriptor: int, size: int) -> int:
    """Bytes of the first ``size`` up to and with the last newline."""
    end = size
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def durable_bytes(path: Path, start: int) -> int:
    """Size of the file with all of it on the disk for good; 0 where there is none.

    Nothing is synced when there is nothing behind ``start``.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return 0
    try:
        size = os.fstat(descriptor).st_size
        if size > start:
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    return size


def waiting(path: Path) -> Waiting | None:
    """What waits in the data file of an open epoch; None where it holds no whole line."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    first, newline, _ = content.partition(b"\n")
    if not newline:
        return None
    stamp = first.partition(b"\t")[0]
    since_ms = int(stamp) if stamp.isdigit() else 0
    return Waiting(content.count(b"\n"), len(content), since_ms)
