"""Ids that were seen, kept in the online store for seven days; first writer wins.

Two families. An *event* claim is made by whoever takes an event over HTTP, before it is
appended, and holds the payload's digest: another payload under the id is a conflict, the
same one is taken again (its sender may never have heard that it was kept). A *fold* claim is
made by the folder and holds the position that counts: the same id at any other position,
however it came into the log, is not counted.
"""

from __future__ import annotations

import struct

from core.clock import DAY_MS

CLAIM_MS = 7 * DAY_MS

_POSITION = struct.Struct(">q")


def event_claim(source: str, event_id: str) -> bytes:
    """Key under which the payload's digest of an event is held."""
    return b"event/%b/%b" % (source.encode(), event_id.encode())


def fold_claim(source: str, event_id: str) -> bytes:
    """Key under which the position of an event that counts is held."""
    return b"fold/%b/%b" % (source.encode(), event_id.encode())


def claimed_position(position: int) -> bytes:
    """Bytes of a position as a fold claim holds it."""
    return _POSITION.pack(position)
