"""Float sums and extremes of each point's window, by sliding over the rows.

A slide holds the rows ``[start, middle)`` that a point knows for certain and only moves on,
so each row enters and leaves once. Rows in ``[middle, stop)`` are added one by one where
the point knows them. A point that knows less than one before it (its ``middle`` would move
back) is answered by looking at its whole window.
"""

from __future__ import annotations

import numpy as np

from core.features.arrays import BoolArray, FloatArray, IntArray
from core.features.kernel_order import Indices, compiled

Pair = tuple[float, float]


@compiled
def merge_pairs(hi: float, lo: float, other_hi: float, other_lo: float) -> Pair:
    """Twin of `core.features.sums.merge`, here because of the compiler's cache."""
    total = hi + other_hi
    back = total - hi
    error = (hi - (total - back)) + (other_hi - back)
    low = lo + other_lo
    back = low - lo
    low_error = (lo - (low - back)) + (other_lo - back)
    error = error + low
    mid = total + error
    error = error - (mid - total) + low_error
    new_hi = mid + error
    return new_hi, error - (new_hi - mid)


@compiled
def square_pair(x: float) -> Pair:
    """Twin of `core.features.sums.square`."""
    big = 134_217_729.0 * x
    head = big - (big - x)
    tail = x - head
    hi = x * x
    return hi, ((head * head - hi) + 2.0 * head * tail) + tail * tail


@compiled
def _plus(hi: float, lo: float, value: float, centre: float, power: int) -> Pair:
    distance = value - centre
    if power == 1:
        return merge_pairs(hi, lo, distance, 0.0)
    square_hi, square_lo = square_pair(distance)
    return merge_pairs(hi, lo, square_hi, square_lo)


@compiled
def longest_window(start: Indices, stop: Indices) -> int:
    """Most rows that any window has."""
    longest = 0
    for point in range(len(start)):
        longest = max(longest, stop[point] - start[point])
    return longest


@compiled
def _fill_front(
    front_hi: FloatArray,
    front_lo: FloatArray,
    values: FloatArray,
    valid: BoolArray,
    centre: float,
    power: int,
    first: int,
    stop: int,
) -> None:
    """Sums of ``[row, stop)`` at ``row - first``, for every row from ``first`` to ``stop``."""
    hi = lo = 0.0
    front_hi[stop - first], front_lo[stop - first] = hi, lo
    for row in range(stop - 1, first - 1, -1):
        if valid[row]:
            hi, lo = _plus(hi, lo, values[row], centre, power)
        front_hi[row - first], front_lo[row - first] = hi, lo


@compiled
def pair_sums(
    values: FloatArray,
    valid: BoolArray,
    centre: float,
    power: int,
    start: Indices,
    settled: Indices,
    stop: Indices,
    row_known: IntArray,
    point_known: IntArray,
) -> tuple[FloatArray, FloatArray]:
    """Sums of ``(value - centre) ** power`` as double-doubles; power is 1 or 2.

    The slide is two stacks: sums of ``[row, split)`` for every row before ``split``, and
    one sum of ``[split, right)``. Nothing is ever subtracted, so the error is near
    ``2**-104`` of the window's own sum of absolute values, whatever came before it.
    """
    sums_hi, sums_lo = np.zeros(len(start)), np.zeros(len(start))
    room = longest_window(start, stop) + 1
    front_hi, front_lo = np.zeros(room), np.zeros(room)
    base = split = right = 0
    back_hi = back_lo = 0.0
    for point in range(len(start)):
        first, known = start[point], point_known[point]
        middle = min(max(settled[point], first), stop[point])
        right = max(right, first)
        hi = lo = 0.0
        if middle < right:
            middle = first
        else:
            if first >= split:
                _fill_front(front_hi, front_lo, values, valid, centre, power, first, middle)
                base, split, back_hi, back_lo = first, middle, 0.0, 0.0
            for row in range(max(right, split), middle):
                if valid[row]:
                    back_hi, back_lo = _plus(back_hi, back_lo, values[row], centre, power)
            right = middle
            hi, lo = front_hi[first - base], front_lo[first - base]
            hi, lo = merge_pairs(hi, lo, back_hi, back_lo)
        for row in range(middle, stop[point]):
            if row_known[row] <= known and valid[row]:
                hi, lo = _plus(hi, lo, values[row], centre, power)
        sums_hi[point], sums_lo[point] = hi, lo
    return sums_hi, sums_lo


@compiled
def _ring_size(n_rows: int) -> int:
    """Power of two above ``n_rows``, so that a place in the ring is a mask away."""
    size = 1
    while size <= n_rows:
        size *= 2
    return size


@compiled
def _pushed(queue: Indices, head: int, tail: int, values: FloatArray, sign: float, row: int) -> int:
    """Tail of the queue after ``row`` has driven out the rows it outdoes."""
    mask = len(queue) - 1
    value = sign * values[row]
    while head < tail and sign * values[queue[(tail - 1) & mask]] <= value:
        tail -= 1
    queue[tail & mask] = row
    return tail + 1


@compiled
def _trimmed(queue: Indices, head: int, tail: int, first: int) -> int:
    """Head of the queue without the rows before ``first``."""
    while head < tail and queue[head & (len(queue) - 1)] < first:
        head += 1
    return head


@compiled
def extremes(
    values: FloatArray,
    valid: BoolArray,
    sign: float,
    start: Indices,
    settled: Indices,
    stop: Indices,
    row_known: IntArray,
    point_known: IntArray,
) -> FloatArray:
    """Greatest value of each window for sign 1, least for sign -1; NaN when there is none.

    The slide is a ring of rows whose values fall from its head: a row leaves at the tail
    as soon as a later one is at least as extreme.
    """
    found = np.empty(len(start))
    queue = np.empty(_ring_size(longest_window(start, stop)), np.int32)
    head = tail = right = 0
    for point in range(len(start)):
        first, known = start[point], point_known[point]
        middle = min(max(settled[point], first), stop[point])
        right = max(right, first)
        best = -np.inf
        if middle < right:
            middle = first
        else:
            head = _trimmed(queue, head, tail, first)
            for row in range(right, middle):
                if valid[row]:
                    tail = _pushed(queue, head, tail, values, sign, row)
            right = middle
            if head < tail:
                best = sign * values[queue[head & (len(queue) - 1)]]
        for row in range(middle, stop[point]):
            if row_known[row] <= known and valid[row]:
                best = max(best, sign * values[row])
        found[point] = sign * best if best > -np.inf else np.nan
    return found
