"""Reducing: spans of tiles and of raw rows into one partial a slot, then into a value.

Counts and integers add up exactly. Floats go through `math.fsum`, which is correctly
rounded in any order; where both halves of a double-double are wanted, a second `fsum` of
what the first left over gives the lower one.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
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


TileSpan = tuple[Block, int]
"""Tiles of a block from a place on."""


class RowSpan(NamedTuple):
    """Raw rows of a block in the places ``start`` to ``end``, ``end`` not among them.

    ``available`` is the place of the availability where the view keeps ties.
    """

    block: Block
    start: int
    end: int
    available: int

    def array(self, place: int) -> tuple[Any, ...]:
        """Array ``place`` of the rows in the span."""
        return self.block.array(place, self.start, self.end)

    def valid(self, cell: int) -> tuple[int, ...]:
        """Which values of one column are there: 1, else 0."""
        return self.array(self.block.first + 2 * cell)

    def values(self, cell: int) -> tuple[Number, ...]:
        """Values of one column; those that are not there are 0."""
        return self.array(self.block.first + 2 * cell + 1)

    def cells(self, cell: int) -> Sequence[Number]:
        """Values of one column that are there."""
        valid, values = self.valid(cell), self.values(cell)
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


Reduce = Callable[[Sequence[TileSpan], Sequence[RowSpan]], Any]
"""Spans of tiles and of raw rows into one partial."""


def _numbers(
    fields: Sequence[int], step: Step, tiles: Sequence[TileSpan], rows: Sequence[RowSpan]
) -> list[Number]:
    """Members of some fields of all tiles, and the cells of all rows."""
    found: list[Number] = []
    for block, start in tiles:
        for k in fields:
            found += block.field(step.place + k, start)
    for row_span in rows:
        found += row_span.cells(step.cell)
    return found


def _count(step: Step) -> Reduce:
    place, cell = step.place, step.cell

    def count(tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> int:
        total = 0
        for block, start in tiles:
            total += sum(block.field(place, start))
        for span in rows:
            total += sum(span.valid(cell))
        return total

    return count


def _sum(step: Step) -> Reduce:
    place, cell = step.place, step.cell

    def float_sum(tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> float:
        return float_total(_numbers((0, 1), step, tiles, rows))

    def whole_sum(tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> Number:
        total: Number = 0
        for block, start in tiles:
            total += sum(block.field(place, start))
        for span in rows:
            total += sum(span.values(cell))  # what is not there is 0
        return total

    return float_sum if step.slot.is_float else whole_sum


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


def _min(step: Step) -> Reduce:
    empty = math.inf if step.slot.is_float else INT64_MAX

    def least(tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> Number:
        return min(_numbers((0,), step, tiles, rows), default=empty)

    return least


def _max(step: Step) -> Reduce:
    empty = -math.inf if step.slot.is_float else INT64_MIN

    def greatest(tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> Number:
        return max(_numbers((0,), step, tiles, rows), default=empty)

    return greatest


def _last(step: Step, tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> Number | None:
    found = [_last_of_tiles(step, *span) for span in tiles]
    found += [_last_of_rows(step, span) for span in rows]
    return max((recent for recent in found if recent is not None), default=(None,))[-1]


def _last_of_tiles(step: Step, block: Block, start: int) -> Recent | None:
    events = block.field(step.place, start)
    newest_ms = max(events)
    if newest_ms == NEVER_MS:
        return None
    available, values = block.field(step.place + 1, start), block.field(step.place + 2, start)
    lengths, ids = block.field(step.place + 3, start), block.heap(step.place + 3, step.heap, start)
    ends = list(accumulate(lengths))
    tied = [k for k, event_ms in enumerate(events) if event_ms == newest_ms]
    return max(
        (newest_ms, available[k], ids[ends[k] - lengths[k] : ends[k]], values[k]) for k in tied
    )


def _last_of_rows(step: Step, span: RowSpan) -> Recent | None:
    valid = span.valid(step.cell)
    if not any(valid):
        return None
    k = len(valid) - 1 - valid[::-1].index(1)  # rows stand in order of recency
    lengths = span.block.array(span.available + 1, 0, span.start + k + 1)
    end = sum(lengths)
    return (
        span.array(0)[k],
        span.array(span.available)[k],
        span.block.heaps[0][end - lengths[-1] : end],
        span.values(step.cell)[k],
    )


def _distinct(step: Step, tiles: Sequence[TileSpan], rows: Sequence[RowSpan]) -> float:
    parts = [block.heap(step.place, step.heap, start) for block, start in tiles]
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
    halves = [[block.field(step.place + k, at) for k in range(4)] for block, at in tiles]
    first = chain(*(half for each in halves for half in each[:2]), distances)
    second = chain(*(half for each in halves for half in each[2:]), squares)
    return _pair(list(first)), _pair(list(second))


def _pair(parts: list[float]) -> Pair:
    high = float_total(parts)
    if not math.isfinite(high):
        return high, 0.0
    return high, float_total([*parts, -high])


REDUCERS: dict[Kind, Callable[[Step], Reduce]] = {
    "count": _count,
    "sum": _sum,
    "min": _min,
    "max": _max,
    "last": lambda step: partial(_last, step),
    "distinct": lambda step: partial(_distinct, step),
    "moments": lambda step: partial(_moments, step),
}
"""What makes the reduction of one step."""

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
