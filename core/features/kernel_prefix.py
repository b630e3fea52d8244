"""Counts, integer sums and latest rows of each point's window, from running totals.

A window is ``[start, stop)`` of the ordered rows. Rows before ``settled`` are known to the
point for certain and come from a running total; the others are looked at one by one.
"""

from __future__ import annotations

import numpy as np

from core.features.arrays import BoolArray, IntArray
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
def counts(
    valid: BoolArray,
    start: Indices,
    settled: Indices,
    stop: Indices,
    row_known: IntArray,
    point_known: IntArray,
) -> IntArray:
    """Number of known values in each window."""
    running = np.zeros(len(valid) + 1, np.int32)
    for row in range(len(valid)):
        running[row + 1] = running[row] + valid[row]
    found = np.empty(len(start), np.int64)
    for point in range(len(start)):
        middle = min(max(settled[point], start[point]), stop[point])
        number = running[middle] - running[start[point]]
        for row in range(middle, stop[point]):
            if row_known[row] <= point_known[point] and valid[row]:
                number += 1
        found[point] = number
    return found


@compiled
def integer_sums(
    values: IntArray,
    start: Indices,
    settled: Indices,
    stop: Indices,
    row_known: IntArray,
    point_known: IntArray,
) -> IntArray:
    """Sum of known values in each window; ``values`` holds zero where one is missing.

    Exact while the window's own sum fits 64 bits: running totals may wrap, their
    differences do not.
    """
    running = np.zeros(len(values) + 1, np.int64)
    for row in range(len(values)):
        running[row + 1] = running[row] + values[row]
    found = np.empty(len(start), np.int64)
    for point in range(len(start)):
        middle = min(max(settled[point], start[point]), stop[point])
        total = running[middle] - running[start[point]]
        for row in range(middle, stop[point]):
            if row_known[row] <= point_known[point]:
                total += values[row]
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
