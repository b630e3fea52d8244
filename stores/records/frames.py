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

_SHAPE = struct.Struct("=9q")  # packed in a tenth of the time that an array takes
_NAMED, _ENDED = b',"numbers":"', b'"}'


class Columns(NamedTuple):
    """Numbers of all points of a pass, in the order in which a record has them.

    ``values`` float64 ``(n_values, n)``: of all views, then of all transforms. ``scores`` float64,
    NaN where nothing could score. ``ages_ms`` and ``seen`` int64 ``(n_views, n)``, with
    `core.packed_records.NONE`; ``statuses`` uint8 of that shape, places in
    `core.packed_records.STATUSES`. ``vectors`` float32 ``(n, width)``.
    """

    values: NDArray[np.float64]
    scores: array[float]
    ages_ms: NDArray[np.int64]
    seen: NDArray[np.int64]
    statuses: NDArray[np.uint8]
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
        """
        n_values, n_points = columns.values.shape
        n_views, width = len(columns.statuses), columns.vectors.shape[1]
        n_bytes = 8 * (n_values + 1 + 2 * n_views) + n_views + 4 * width
        if self._library is None or n_bytes > MOST_BYTES:
            return self._in_python(own, kept, columns)
        n = len(kept)
        room, room_at = self._room_for(len(own) + n * (self._longest + 4 * (n_bytes // 3 + 1)))
        sizes = array("q", bytes(8 * n))
        written: int = self._library.throughline_frames(
            _SHAPE.pack(n, n_points, n_values, n_views, width, *self._begins),
            self._both,
            own,
            None if n == n_points else array("q", kept).tobytes(),
            _end_to_end(columns),
            room_at,
            sizes.buffer_info()[0],
        )
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
        scores = np.frombuffer(columns.scores)
        by_column = columns.values, scores[None], columns.ages_ms, columns.seen, columns.statuses
        payloads = []
        for point, line in zip(kept, own.splitlines(), strict=True):
            of_point: list[NDArray[Any]] = [*(each[:, point] for each in by_column)]
            of_point.append(columns.vectors[point])
            numbers = base64.urlsafe_b64encode(b"".join(map(_low_first, of_point)))
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
    except TypeError:  # of rows that do not lie side by side
        return b"".join([column.tobytes() for column in columns])


def _low_first(numbers: NDArray[Any]) -> bytes:
    return numbers.astype(numbers.dtype.newbyteorder("<")).tobytes()
