"""Frames of packed records: all that a pass keeps, in one run of bytes.

Compiled code writes them where it is there (`stores.merging`), in one call; Python writes the same
bytes.
"""

from __future__ import annotations

import base64
import ctypes
import math
import struct
import zlib
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stores.merging import Library
from stores.records.segments import HEADER_BYTES, check_size, frame_of

MOST_BYTES = 49_152
"""Of one record's numbers: room that compiled code has for them (``merge/records.h``)."""

HELD_BYTES = 1 << 20
"""Of the room for frames: as much is held from pass to pass, since to clear it anew each time was
an eighth of what records cost."""

_SHAPE = struct.Struct("=10q")  # packed in a tenth of the time that an array takes
_NAMED, _ENDED = b',"numbers":"', b'"}'


class Columns(NamedTuple):
    """Numbers of all points of a pass, in the order in which a record has them.

    Flat, a number of each point and then the next: ``values`` of all views, then of all transforms;
    ``scores``, NaN where nothing could score; ``read`` of all views the ages (ms), then the
    positions, with `core.packed_records.NONE`; ``statuses``, places in
    `core.packed_records.STATUSES`. ``vectors`` has shape ``(n, width)``.
    """

    values: array[float] | memoryview
    scores: array[float]
    read: array[int]
    statuses: array[int]
    vectors: NDArray[np.float32]


class Frames(NamedTuple):
    """Frames end to end, and how many bytes each has; to be taken before others are written."""

    content: bytes | memoryview
    sizes: Sequence[int]


class Framing:
    """Writes frames of the records of one release.

    Parameters
    ----------
    scored, unscored
        How a record begins that has a score, and one that has none: an object in JSON, up to the
        comma behind its last member.
    library
        The compiled code. Without it Python writes.
    """

    def __init__(self, scored: bytes, unscored: bytes, library: Library | None) -> None:
        self._scored = scored
        self._unscored = unscored
        self._both = scored + unscored
        self._begins = [n for each in (scored, unscored) for n in (len(each), zlib.crc32(each))]
        self._longest = HEADER_BYTES + len(_NAMED) + len(_ENDED) + max(len(scored), len(unscored))
        self._library = library
        self._room, self._room_at = _room(0)

    def frames(self, own: bytes, kept: Sequence[int], columns: Columns) -> Frames:
        """Frames of records, in order.

        Parameters
        ----------
        own
            A record's own members: of each record an object in JSON, and a line end.
        kept
            The place in the columns of each record's point, in order.

        Raises
        ------
        InvalidInputError
            If a record is larger than a frame can hold.
        ValueError
            If there are not as many lines as records.
        """
        n_points, width = columns.vectors.shape
        n_values, n_views = len(columns.values) // n_points, len(columns.statuses) // n_points
        n_bytes = 8 * (n_values + 1 + 2 * n_views) + n_views + 4 * width
        if self._library is None or n_bytes > MOST_BYTES:
            return self._in_python(own, kept, columns)
        n = len(kept)
        room, room_at = self._room_for(len(own) + n * (self._longest + 4 * (n_bytes // 3 + 1)))
        sizes = array("q", bytes(8 * n))
        written: int = self._library.throughline_frames(
            _SHAPE.pack(n, len(own), n_points, n_values, n_views, width, *self._begins),
            self._both,
            own,
            None if n == n_points else array("q", kept).tobytes(),
            _end_to_end(columns),
            room_at,
            sizes.buffer_info()[0],
        )
        if written < 0:
            raise _unequal(n)
        check_size(max(sizes) - HEADER_BYTES)
        return Frames(memoryview(room)[:written], sizes)

    def _room_for(self, n_bytes: int) -> tuple[bytearray, int]:
        """Room for so many bytes, and where it is."""
        if n_bytes <= len(self._room):
            return self._room, self._room_at
        found = _room(n_bytes)
        if n_bytes <= HELD_BYTES:
            self._room, self._room_at = found
        return found

    def _in_python(self, own: bytes, kept: Sequence[int], columns: Columns) -> Frames:
        n_points = len(columns.scores)
        by_point = [np.asarray(each).reshape(-1, n_points).T for each in columns[:-1]]
        by_point.append(columns.vectors)
        payloads = []
        *lines, behind = own.split(b"\n")
        if behind or len(lines) != len(kept):
            raise _unequal(len(kept))
        for point, line in zip(kept, lines, strict=True):
            of_point = b"".join(_low_first(each[point]) for each in by_point)
            numbers = base64.urlsafe_b64encode(of_point)
            begins = self._unscored if math.isnan(columns.scores[point]) else self._scored
            payloads.append(b"".join((begins, line[1:-1], _NAMED, numbers, _ENDED)))
        return framed(payloads)


def framed(payloads: Iterable[bytes]) -> Frames:
    """Frames of payloads; InvalidInputError where one fits into none."""
    frames = [frame_of(payload) for payload in payloads]
    return Frames(b"".join(frames), [len(frame) for frame in frames])


def _room(n_bytes: int) -> tuple[bytearray, int]:
    room = bytearray(max(1, n_bytes))
    return room, ctypes.addressof(ctypes.c_char.from_buffer(room))


def _end_to_end(columns: Columns) -> bytes:
    try:
        return b"".join(columns)  # type: ignore[arg-type]  # arrays are buffers
    except TypeError:  # of vectors that do not lie end to end
        return b"".join([column.tobytes() for column in columns])


def _unequal(n_records: int) -> ValueError:
    return ValueError(f"not as many lines as there are records: {n_records}")


def _low_first(numbers: NDArray[Any]) -> bytes:
    return numbers.astype(numbers.dtype.newbyteorder("<")).tobytes()
