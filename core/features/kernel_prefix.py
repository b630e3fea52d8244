"""Counts, integer sums and latest rows of each point's window, from running totals.

A window is ``[start, stop)`` of the ordered rows. Rows before ``settled`` are known to the
point for certain and come from a running total; the others are looked at one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.features.arrays import BoolArray, FloatArray, IntArray
from core.features.kernel_order import Indices, compiled


@compiled
def latest_valid(valid: BoolArray) -> Indices:
    """For each row the nearest row at or before it that has a value; -1 when none has."""
    latest = np.empty(len(valid), np.int32)
    seen = -1
    for row in range(len(valid)):
        if valid[row]:
            seen = row
        latest[row] = seen
    return latest


@compiled
def running_counts(valid: BoolArray) -> Indices:
    """Number of values before each row, and at the end of all."""
    running = np.zeros(len(valid) + 1, np.int32)
    for row in range(len(valid)):
        running[row + 1] = running[row] + valid[row]
    return running


@compiled
def running_sums(values: IntArray, valid: BoolArray) -> IntArray:
    """Sum of the values before each row, and of all; may wrap, which differences undo."""
    running = np.zeros(len(values) + 1, np.int64)
    for row in range(len(values)):
        running[row + 1] = running[row] + values[row] * valid[row]
    return running


@compiled
def differences(
    running: NDArray[Any],
    start: Indices,
    settled: Indices,
    stop: Indices,
    row_known: IntArray,
    point_known: IntArray,
) -> FloatArray:
    """What the known rows of each window add to a running total: counts or integer sums.

    Exact while a window's own total fits 64 bits; rounded once, to a float.
    """
    found = np.empty(len(start))
    for point in range(len(start)):
        middle = min(max(settled[point], start[point]), stop[point])
        total = np.int64(running[middle]) - np.int64(running[start[point]])
        for row in range(middle, stop[point]):
            if row_known[row] <= point_known[point]:
                total += np.int64(running[row + 1]) - np.int64(running[row])
        found[point] = total
    return found


@compiled
def latest_rows(
    valid: BoolArray,
    start: Indices,
    settled: Indices,
    stop: Indices,
    row_known: IntArray,
    point_known: IntArray,
) -> Indices:
    """The last row of each window that is known and has a value; -1 when there is none."""
    latest = latest_valid(valid)
    found = np.empty(len(start), np.int32)
    for point in range(len(start)):
        middle = min(max(settled[point], start[point]), stop[point])
        row = stop[point] - 1
        while row >= middle and not (row_known[row] <= point_known[point] and valid[row]):
            row -= 1
        if row < middle and middle > start[point]:
            row = latest[middle - 1]
        found[point] = row if row >= start[point] else -1
    return found
