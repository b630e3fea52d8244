"""Distinct counts of each point's window: 256 registers, each with its own queue of rows.

A register's value is the greatest rank among the rows of the window that fall in it. Its
queue holds those rows that may still become the greatest, ranks falling from the oldest to
the newest, linked by row numbers. A row enters and leaves its queue once, and the numbers
of registers at each rank, all that the estimate needs, follow along.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.features.arrays import BoolArray, FloatArray, IntArray
from core.features.kernel_order import Indices, compiled

Bytes = NDArray[np.uint8]

_N_REGISTERS = 256
_N_RANKS = 58
_NONE = -1


@compiled
def _set_register(current: Bytes, n_at_rank: IntArray, register: int, rank: int) -> None:
    n_at_rank[current[register]] -= 1
    n_at_rank[rank] += 1
    current[register] = rank


@compiled
def _enter(
    row: int,
    register: int,
    rank: Bytes,
    newer: Indices,
    older: Indices,
    oldest: Indices,
    newest: Indices,
) -> None:
    """Put ``row`` at the new end of its register's queue, driving out lower ranks."""
    while newest[register] != _NONE and rank[newest[register]] <= rank[row]:
        newest[register] = older[newest[register]]
    older[row] = newest[register]
    newer[row] = _NONE
    if newest[register] == _NONE:
        oldest[register] = row
    else:
        newer[newest[register]] = row
    newest[register] = row


@compiled
def _leave(
    row: int, register: int, newer: Indices, older: Indices, oldest: Indices, newest: Indices
) -> None:
    """Take ``row``, the oldest of its register's queue, out."""
    oldest[register] = newer[row]
    if newer[row] == _NONE:
        newest[register] = _NONE
    else:
        older[newer[row]] = _NONE


@compiled
def _estimate(n_at_rank: IntArray, linear: FloatArray, raw_scale: float) -> float:
    """Twin of `core.features.hll.estimate_of_counts`."""
    harmonic = 0.0
    weight = 2.0 ** -(_N_RANKS - 1)
    for rank in range(_N_RANKS - 1, -1, -1):
        harmonic += n_at_rank[rank] * weight
        weight *= 2.0
    raw = raw_scale / harmonic
    if raw <= 2.5 * _N_REGISTERS and n_at_rank[0] > 0:
        raw = linear[n_at_rank[0]]
    return float(np.rint(raw))


@compiled
def _with_tail(
    current: Bytes,
    n_at_rank: IntArray,
    register: Bytes,
    rank: Bytes,
    valid: BoolArray,
    first: int,
    stop: int,
    row_known: IntArray,
    known: int,
) -> IntArray:
    """Numbers at each rank once the known rows of ``[first, stop)`` have raised registers."""
    raised = current.copy()
    numbers = n_at_rank.copy()
    for row in range(first, stop):
        if row_known[row] <= known and valid[row] and rank[row] > raised[register[row]]:
            _set_register(raised, numbers, register[row], rank[row])
    return numbers


@compiled
def _expire(
    first: int,
    stop: int,
    register: Bytes,
    rank: Bytes,
    links: tuple[Indices, Indices, Indices, Indices],
    current: Bytes,
    n_at_rank: IntArray,
) -> None:
    """Take the rows ``[first, stop)`` out of their queues, where they still are in one."""
    newer, older, oldest, newest = links
    for row in range(first, stop):
        if oldest[register[row]] == row:
            _leave(row, register[row], newer, older, oldest, newest)
            following = oldest[register[row]]
            left_rank = rank[following] if following != _NONE else 0
            _set_register(current, n_at_rank, register[row], left_rank)


@compiled
def distinct_counts(
    register: Bytes,
    rank: Bytes,
    valid: BoolArray,
    linear: FloatArray,
    raw_scale: float,
    start: Indices,
    settled: Indices,
    stop: Indices,
    row_known: IntArray,
    point_known: IntArray,
) -> FloatArray:
    """Estimated number of distinct values in each window (`core.features.hll.estimate`)."""
    found = np.empty(len(start))
    newer, older = np.empty(len(rank), np.int32), np.empty(len(rank), np.int32)
    oldest = np.full(_N_REGISTERS, _NONE, np.int32)
    newest = np.full(_N_REGISTERS, _NONE, np.int32)
    links = (newer, older, oldest, newest)
    no_current, no_numbers = np.zeros(_N_REGISTERS, np.uint8), np.zeros(_N_RANKS, np.int64)
    no_numbers[0] = _N_REGISTERS
    current, n_at_rank = no_current.copy(), no_numbers.copy()
    left = right = 0
    for point in range(len(start)):
        first, last, known = start[point], stop[point], point_known[point]
        middle = min(max(settled[point], first), last)
        base, numbers = current, n_at_rank
        if middle < max(right, first):
            base, numbers, middle = no_current, no_numbers, first
        else:
            _expire(left, min(first, right), register, rank, links, current, n_at_rank)
            left = first
            for row in range(max(right, first), middle):
                if valid[row]:
                    _enter(row, register[row], rank, newer, older, oldest, newest)
                    _set_register(current, n_at_rank, register[row], rank[oldest[register[row]]])
            right = middle
        if middle < last:
            numbers = _with_tail(
                base, numbers, register, rank, valid, middle, last, row_known, known
            )
        found[point] = _estimate(numbers, linear, raw_scale)
    return found
