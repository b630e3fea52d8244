"""Reducing: spans of tiles and of raw rows into one partial a slot, then into a value.

Counts and integers add up exactly. Floats go through `math.fsum`, which is correctly
rounded in any order; where both halves of a double-double are wanted, a second `fsum` of
what the first left over gives the lower one.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, chain, compress
from typing import Any, NamedTuple

from core.features import hll, sums
from core.features.packing import Block
from core.features.partials import (
    INT64_MAX,
    INT64_MIN,
    NEVER_MS,
    Kind,
    Slot,
    register_and_rank,
)

Number = int | float


class TileSpan(NamedTuple):
    """Tiles of a block from the place ``start`` on; fields begin at array ``first``."""

    block: Block
    start: int
    first: int

    def field(self, k: int) -> tuple[Any, ...]:
        """Field ``k`` of the tiles in the span."""
        return self.block.array(self.first + k, self.start)

    def heap(self, k: int, heap: int) -> bytes:
        """Bytes of field ``k``, of varying length, of all tiles in the span."""
        return self.block.heaps[heap][sum(self.block.array(self.first + k, 0, self.start)) :]


class RowSpan(NamedTuple):
    """Raw rows of a block in the places ``start`` to ``end``, ``end`` not among them.

    Validity of the first column is array ``first``; ``available`` is the place of the
    availability where the view keeps ties.
    """

    block: Block
    start: int
    end: int
    first: int
    available: int

    def array(self, place: int) -> tuple[Any, ...]:
        """Array ``place`` of the rows in the span."""
        return self.block.array(place, self.start, self.end)

    def cells(self, cell: int) -> Sequence[Number]:
        """Values of one column that are there."""
        place = self.first + 2 * cell
        valid = self.array(place)
        values = self.array(place + 1)
        return values if all(valid) else list(compress(values, valid))


Recent = tuple[int, int, bytes, Number]
"""Event time, availability, id, value: the greatest is the last."""


class Step(NamedTuple):
    """One slot to reduce: where its fields stand in the tiles, its column in the rows.

    ``heap`` is the place of its field of varying length among those of the grid.
    """

    slot: Slot
    place: int
    cell: int
    heap: int


Reduce = Callable[[Step, Sequence[TileSpan], Sequence[RowSpan]], Any]


def _numbers(
    fields: Sequence[int], step: Step, tiles: Sequence[TileSpan], rows: Sequence[RowSpan]
) -> list[Number]:
    """Members of some fields of all tiles, and the cells of all rows."""
    found: list[Number] = []
    for span in tiles:
        for k in fields:
            found += span.field(step.place + k)
    for row_span in rows:
        found += row_span.cells(step.cell)
    return found


def _count(step: Step, tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> int:
    total = 0
    for span in tiles:
        total += sum(span.field(step.place))
    for row_span in rows:
        total += sum(row_span.array(row_span.first + 2 * step.cell))
    return total


def _sum(step: Step, tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> Number:
    if step.slot.is_float:
        return float_total(_numbers((0, 1), step, tiles, rows))
    return sum(_numbers((0,), step, tiles, rows))


def float_total(parts: Sequence[Number]) -> float:
    """Correctly rounded sum; an infinity or NaN where a float cannot hold it.

    Examples
    --------
    >>> float_total([1e16, 1.0, -1e16]), float_total([1.7e308, 1.7e308])
    (1.0, inf)
    """
    try:
        return math.fsum(parts)
    except (OverflowError, ValueError):
        return float(sum(parts))


def _min(step: Step, tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> Number:
    empty = math.inf if step.slot.is_float else INT64_MAX
    return min(_numbers((0,), step, tiles, rows), default=empty)


def _max(step: Step, tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> Number:
    empty = -math.inf if step.slot.is_float else INT64_MIN
    return max(_numbers((0,), step, tiles, rows), default=empty)


def _last(step: Step, tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> Number | None:
    found = [_last_of_tiles(step, span) for span in tiles]
    found += [_last_of_rows(step, span) for span in rows]
    return max((recent for recent in found if recent is not None), default=(None,))[-1]


def _last_of_tiles(step: Step, span: TileSpan) -> Recent | None:
    events = span.field(step.place)
    newest_ms = max(events)
    if newest_ms == NEVER_MS:
        return None
    available, values = span.field(step.place + 1), span.field(step.place + 2)
    lengths, ids = span.field(step.place + 3), span.heap(step.place + 3, step.heap)
    ends = list(accumulate(lengths))
    tied = [k for k, event_ms in enumerate(events) if event_ms == newest_ms]
    return max(
        (newest_ms, available[k], ids[ends[k] - lengths[k] : ends[k]], values[k]) for k in tied
    )


def _last_of_rows(step: Step, span: RowSpan) -> Recent | None:
    valid = span.array(span.first + 2 * step.cell)
    if not any(valid):
        return None
    k = len(valid) - 1 - valid[::-1].index(1)  # rows stand in order of recency
    lengths = span.block.array(span.available + 1, 0, span.start + k + 1)
    end = sum(lengths)
    return (
        span.array(0)[k],
        span.array(span.available)[k],
        span.block.heaps[0][end - lengths[-1] : end],
        span.array(span.first + 2 * step.cell + 1)[k],
    )


def _distinct(step: Step, tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> float:
    parts = [span.heap(step.place, step.heap) for span in tiles]
    parts += [
        bytes(register_and_rank(step.slot, value))
        for span in rows
        for value in span.cells(step.cell)
    ]
    data = b"".join(parts)
    if not data:
        return 0.0
    # Pairs as numbers, in order: of one register's pairs the greatest rank comes last and stays.
    shape = struct.Struct(f">{len(data) // 2}H")
    ordered = shape.pack(*sorted(shape.unpack(data)))
    ranks = dict(zip(ordered[::2], ordered[1::2], strict=True))
    return hll.estimate_of_ranks(bytes(ranks.values()))


Pair = tuple[float, float]


def _moments(step: Step, tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> tuple[Pair, Pair]:
    cells = chain.from_iterable(span.cells(step.cell) for span in rows)
    distances = [float(value) - step.slot.centre for value in cells]
    squares = chain.from_iterable(map(sums.square, distances))
    first = chain(*(span.field(step.place + k) for span in tiles for k in (0, 1)), distances)
    second = chain(*(span.field(step.place + k) for span in tiles for k in (2, 3)), squares)
    return _pair(list(first)), _pair(list(second))


def _pair(parts: list[float]) -> Pair:
    high = float_total(parts)
    if not math.isfinite(high):
        return high, 0.0
    return high, float_total([*parts, -high])


REDUCERS: dict[Kind, Reduce] = {
    "count": _count,
    "sum": _sum,
    "min": _min,
    "max": _max,
    "last": _last,
    "distinct": _distinct,
    "moments": _moments,
}

# Partials of a feature's slots, in the order of `partials.NEEDS`, into its value.

Finish = Callable[..., float | None]


def _plain(value: Number) -> float:
    return float(value)


def _mean(count: int, total: Number) -> float | None:
    return float(total) / count if count else None


def _extreme(count: int, value: Number) -> float | None:
    return float(value) if count else None


def _last_value(value: Number | None) -> float | None:
    return None if value is None else float(value)


def _deviation(count: int, moments: tuple[Pair, Pair]) -> float | None:
    return sums.deviation(count, *moments)


FINISHERS: Mapping[str, Finish] = {
    "count": _plain,
    "sum": _plain,
    "mean": _mean,
    "min": _extreme,
    "max": _extreme,
    "last": _last_value,
    "count_distinct": _plain,
    "stddev": _deviation,
}
