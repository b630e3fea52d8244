"""A delta with rows put behind those that are there, its tiles copied as they stand.

Most events find a delta of which nothing is to be dropped or tiled. Taking it apart and putting
it together again would cost five times as much, and give the same bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from core.features.blob import (
    CHECK,
    DELTA,
    HEADER,
    NO_INSTANT,
    OFFSET,
    Codec,
    Contents,
    is_whole,
    offsets_of,
)
from core.features.packing import Block
from core.features.partials import RawRow


class Glance(NamedTuple):
    """A delta of which only the header and the rows were read.

    ``head`` has no tiles and no rows; ``counts`` are, by grid, the number of tiles and the start
    of the first; ``tiles`` is where their bytes begin and end.
    """

    head: Contents
    counts: tuple[tuple[int, int], ...]
    tiles: tuple[int, int]
    rows: Block


def glance_at(codec: Codec, delta: bytes) -> Glance | None:
    """Header and rows of a delta, its tiles unread; None where that is not enough.

    It is not where ties are kept, whose heap hides where the rows begin, and not for bytes that
    are not whole or of another definition: `Codec.open` says what is wrong with them.
    """
    if codec.has_ties or not delta.startswith(codec.marks[DELTA]) or not is_whole(delta):
        return None
    _, _, _, _, epoch, horizon_ms, newest_ms, n_epochs, n_rows, *counts = codec.head.unpack_from(
        delta
    )
    tiles_at = codec.head.size + OFFSET.size * n_epochs
    offsets = dict(OFFSET.iter_unpack(delta[codec.head.size : tiles_at]))
    shape = codec.row_arrays[DELTA]
    rows_at = len(delta) - CHECK.size - shape.width * n_rows
    rows, _ = shape.unpack(delta, rows_at, n_rows)
    newest = None if newest_ms == NO_INSTANT else newest_ms
    head = Contents(epoch, horizon_ms, newest, offsets)
    pairs = tuple(zip(counts[::2], counts[1::2], strict=True))
    return Glance(head, pairs, (tiles_at, rows_at), rows)


def with_rows(codec: Codec, delta: bytes, glance: Glance, rows: Sequence[RawRow]) -> bytes:
    """Bytes of a delta with what its head says now, and with ``rows`` more.

    Its rows are copied, too, where none of the new comes before the last of them.

    Raises
    ------
    InvalidInputError
        If a number does not fit its field.
    """
    head, (tiles_at, rows_at) = glance.head, glance.tiles
    counts, tiles = delta[HEADER.size : codec.head.size], delta[tiles_at:rows_at]
    try:
        header = codec.header(DELTA, head, glance.rows.n + len(rows))
        grown = _grown(codec, glance.rows, sorted(rows, key=_time))
        body = b"".join((header, counts, offsets_of(head), tiles, grown))
    except struct.error as error:
        raise codec.unfit(error) from error
    return body + CHECK.pack(zlib.crc32(body))


def _grown(codec: Codec, held: Block, more: list[RawRow]) -> bytes:
    shape = codec.row_arrays[DELTA]
    if not held.n or not more or held.member(0, held.n - 1) <= more[0].event_ms:
        return shape.extended(held, len(more), codec.row_columns(DELTA, more))
    rows = sorted((*codec.rows_of(DELTA, held), *more), key=_time)
    return shape.pack(len(rows), codec.row_columns(DELTA, rows))


def _time(row: RawRow) -> int:
    """What orders rows where no ties are kept."""
    return row.event_ms
