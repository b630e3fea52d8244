"""How far the folder has come with a source, and batch with a view: kept beside their values.

Written after the values, so whoever reads both in one round trip sees at least the events
that the watermark speaks of.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple

from core.errors import IntegrityError

_PACKED = struct.Struct(">Bqqq")
_VERSION = 1
_POSITION = struct.Struct(">q")
_COVERED = struct.Struct(">Bqq")
_COVERED_VERSION = 2
_KEPT = 256  # a pass reads one a source and one a view, mostly the same as the pass before


class Watermark(NamedTuple):
    """State of one source.

    Attributes
    ----------
    available_ms
        Every event that was available by then is in the online values.
    position
        Last position folded into every view; -1 when none has been.
    written_at_ms
        When the folder last said anything: its heartbeat. What lies between this and
        ``available_ms`` is its lag.
    """

    available_ms: int
    position: int
    written_at_ms: int


def watermark_key(source: str) -> bytes:
    """Key of a source's watermark in the online store."""
    return b"watermark/" + source.encode()


def encode_watermark(watermark: Watermark) -> bytes:
    """Bytes of a watermark."""
    return _PACKED.pack(_VERSION, *watermark)


@lru_cache(maxsize=_KEPT)
def decode_watermark(data: bytes) -> Watermark:
    """Watermark of bytes; IntegrityError when they are not one."""
    if len(data) != _PACKED.size or data[0] != _VERSION:
        raise IntegrityError(
            "a watermark cannot be read",
            found=f"{len(data)} bytes",
            remedy="start the folder: it writes watermarks anew",
        )
    return Watermark(*_PACKED.unpack(data)[1:])


def folded_key(view: str) -> bytes:
    """Key of the position up to which the folder has folded a view. Written by the folder."""
    return b"folded/" + view.encode()


def encode_position(position: int) -> bytes:
    """Bytes of a position."""
    return _POSITION.pack(position)


def decode_position(data: bytes) -> int:
    """Position of bytes; IntegrityError when they are not one."""
    if len(data) != _POSITION.size:
        raise IntegrityError(
            "a cursor of the online store cannot be read",
            found=f"{len(data)} bytes",
            remedy="materialise the view again; the folder then starts behind it",
        )
    return int(_POSITION.unpack(data)[0])


class Covered(NamedTuple):
    """What the last *finished* base of a view covers. Written by batch.

    Attributes
    ----------
    position
        Every row up to this position of the log is in the base.
    head_ms
        First instant that the base can answer. An entity with nothing in any window there
        has no base to say so, so readers take it from here. None when it was not kept.
    """

    position: int
    head_ms: int | None


def covered_key(view: str) -> bytes:
    """Key of what a finished base of a view covers."""
    return b"covered/" + view.encode()


def encode_covered(position: int, head_ms: int) -> bytes:
    """Bytes of what a finished base covers."""
    return _COVERED.pack(_COVERED_VERSION, position, head_ms)


@lru_cache(maxsize=_KEPT)
def decode_covered(data: bytes) -> Covered:
    """What a finished base covers, of bytes; IntegrityError when they do not say.

    A bare position, as it was written before heads were kept, is read without a head: the
    next base puts it right.
    """
    if len(data) == _POSITION.size:
        return Covered(decode_position(data), None)
    if len(data) != _COVERED.size or data[0] != _COVERED_VERSION:
        raise IntegrityError(
            "what a base covers cannot be read",
            found=f"{len(data)} bytes",
            remedy="read it with the version of the platform that wrote it, or start with an "
            "empty online store",
        )
    return Covered(*_COVERED.unpack(data)[1:])


def first_ms_of(data: bytes | None) -> int | None:
    """First instant that readers of a view can answer, of what stands under its `covered_key`."""
    return None if data is None else decode_covered(data).head_ms
