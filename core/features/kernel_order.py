"""Ordering rows and points by entity and time, and finding the rows of each point.

Compiled loops over plain arrays. Everything after the ordering works on indices: the rows of
a point's window are ``[start, stop)`` of the ordered rows. Rows and points are grouped by
the same entity codes, so ``start`` and ``stop`` never fall from one point to the next,
across entities too; the slides of `core.features.kernel_slides` rest on that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from core.features.arrays import IntArray

Indices = NDArray[np.int32]
Function = TypeVar("Function", bound=Callable[..., Any])

_MOVES_A_ROW = 4


def compiled(function: Function) -> Function:
    """``function`` as machine code, kept on disk beside the source, run without the GIL.

    Numba's disk cache follows the file of the compiled function only: a function that it
    calls must be in the same file, or a change there would go unseen.
    """
    jit = njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")
    return cast(Function, jit(function))


@compiled
def group_starts(codes: Indices, n_groups: int) -> IntArray:
    """Where each group starts once grouped; ``n_groups + 1`` numbers, the last the total."""
    starts = np.zeros(n_groups + 1, np.int64)
    for code in codes:
        starts[code + 1] += 1
    for group in range(n_groups):
        starts[group + 1] += starts[group]
    return starts


@compiled
def grouped(codes: Indices, starts: IntArray) -> Indices:
    """Indices by group, in order of appearance inside each (a counting sort)."""
    free = starts[:-1].copy()
    order = np.empty(len(codes), np.int32)
    for index in range(len(codes)):
        code = codes[index]
        order[free[code]] = index
        free[code] += 1
    return order


@compiled
def gathered(values: NDArray[Any], order: Indices) -> NDArray[Any]:
    """``values[order]``; numpy would first widen the indices to 64 bits, at twice the time."""
    taken = np.empty(len(order), values.dtype)
    for place in range(len(order)):
        taken[place] = values[order[place]]
    return taken


@compiled
def _is_insertion_sorted(order: Indices, time_ms: IntArray, first: int, stop: int) -> bool:
    """Sort by insertion, stably; give up, with whatever was done, when rows move too far."""
    moves = 0
    for index in range(first + 1, stop):
        time, row = time_ms[index], order[index]
        place = index
        while place > first and time_ms[place - 1] > time:
            time_ms[place] = time_ms[place - 1]
            order[place] = order[place - 1]
            place -= 1
        time_ms[place], order[place] = time, row
        moves += index - place
        if moves > _MOVES_A_ROW * (stop - first):
            return False
    return True


@compiled
def sort_groups(order: Indices, time_ms: IntArray, starts: IntArray) -> None:
    """Sort each group by time in place, stably; ``time_ms`` is already in ``order``.

    Logs come nearly in order, so insertion does most groups in one pass.
    """
    for group in range(len(starts) - 1):
        first, stop = starts[group], starts[group + 1]
        if not _is_insertion_sorted(order, time_ms, first, stop):
            times, rows = time_ms[first:stop].copy(), order[first:stop].copy()
            by_time = np.argsort(times, kind="mergesort")
            for place in range(stop - first):  # assigned as slices it takes 3 s more to compile
                time_ms[first + place] = times[by_time[place]]
                order[first + place] = rows[by_time[place]]


@compiled
def tied_runs(time_ms: IntArray, starts: IntArray) -> tuple[IntArray, IntArray]:
    """Places of rows whose group and time another row shares, and the run of each."""
    n_tied = 0
    for group in range(len(starts) - 1):
        for index in range(starts[group] + 1, starts[group + 1]):
            n_tied += 2 * (time_ms[index] == time_ms[index - 1])
    places = np.empty(n_tied, np.int64)
    runs = np.empty(n_tied, np.int64)
    n_places = n_runs = 0
    for group in range(len(starts) - 1):
        for index in range(starts[group] + 1, starts[group + 1]):
            if time_ms[index] != time_ms[index - 1]:
                continue
            if n_places == 0 or places[n_places - 1] != index - 1:
                n_runs += 1
                places[n_places], runs[n_places] = index - 1, n_runs
                n_places += 1
            places[n_places], runs[n_places] = index, n_runs
            n_places += 1
    return places[:n_places], runs[:n_places]


@compiled
def first_at_least(
    row_ms: IntArray, row_starts: IntArray, threshold_ms: IntArray, point_starts: IntArray
) -> Indices:
    """For each point the first row of its entity at or after its threshold.

    Thresholds rise with the points of an entity, so one pointer walks the rows once.
    """
    found = np.empty(len(threshold_ms), np.int32)
    for group in range(len(point_starts) - 1):
        row, stop = row_starts[group], row_starts[group + 1]
        for point in range(point_starts[group], point_starts[group + 1]):
            while row < stop and row_ms[row] < threshold_ms[point]:
                row += 1
            found[point] = row
    return found


@compiled
def settled_stops(
    row_known: IntArray, row_starts: IntArray, point_known: IntArray, point_starts: IntArray
) -> Indices:
    """For each point the first row of its entity that it may not know.

    All rows before it are known for certain: the running maximum of what they need is
    within the point's ``known``. Only rows from there on are looked at one by one.
    """
    highest = np.empty(len(row_known), np.int64)
    settled = np.empty(len(point_known), np.int32)
    for group in range(len(point_starts) - 1):
        first, stop = row_starts[group], row_starts[group + 1]
        if point_starts[group] == point_starts[group + 1]:
            continue
        for row in range(first, stop):
            highest[row] = row_known[row]
            if row > first:
                highest[row] = max(highest[row], highest[row - 1])
        for point in range(point_starts[group], point_starts[group + 1]):
            low, high = first, stop
            while low < high:
                middle = (low + high) // 2
                if highest[middle] <= point_known[point]:
                    low = middle + 1
                else:
                    high = middle
            settled[point] = low
    return settled
