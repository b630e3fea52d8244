"""How far the folder has come with a source: kept beside the online values it writes.

Written after the values, so whoever reads both in one round trip sees at least the events
that the watermark speaks of.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from core.errors import IntegrityError

_PACKED = struct.Struct(">Bqqq")
_VERSION = 1
_POSITION = struct.Struct(">q")


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


def covered_key(view: str) -> bytes:
    """Key of the position up to which a *finished* base covers a view. Written by batch."""
    return b"covered/" + view.encode()


def encode_position(position: int) -> bytes:
    """Bytes of a position under either of these keys."""
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
