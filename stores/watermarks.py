"""How far the folder has come with a source: kept beside the online values it writes.

Written after the values, so whoever reads both in one round trip sees at least the events
that the watermark speaks of.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from core.errors import IntegrityError

_PACKED = struct.Struct(">Bqqqq")
_VERSION = 1


class Watermark(NamedTuple):
    """State of one source.

    Attributes
    ----------
    available_ms
        Every event that was available by then is in the online values.
    position
        Last position folded; -1 when none has been.
    lag_events
        Events appended but not yet folded when this was written.
    written_at_ms
        When the folder last said anything: its heartbeat.
    """

    available_ms: int
    position: int
    lag_events: int
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
