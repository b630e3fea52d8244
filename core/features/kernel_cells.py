"""One column over one window: what each aggregate function asks the compiled loops for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.features import hll, kernel_distinct, kernel_prefix, kernel_slides, sums
from core.features.arrays import BoolArray, Column, FloatArray, IntArray
from core.features.kernel_order import Indices, gathered
from core.features.plan import ColumnType, WindowFeature, WindowFunction

Bytes = NDArray[np.uint8]

_LINEAR_COUNTS = np.array(hll.LINEAR_COUNTS)
_BLOCK_ROWS = 1 << 18


@dataclass(frozen=True)
class Span:
    """The rows ``[start, stop)`` of each ordered point, and what it knows of them.

    Rows before ``settled`` are known for certain; of the others those with ``row_known``
    within the point's ``point_known``.
    """

    start: Indices
    settled: Indices
    stop: Indices
    row_known: IntArray
    point_known: IntArray

    @property
    def arrays(self) -> tuple[Indices, Indices, Indices, IntArray, IntArray]:
        """All of it in the order that every compiled loop takes."""
        return self.start, self.settled, self.stop, self.row_known, self.point_known


class OrderedColumn:
    """A column in the order of the rows, in the forms that functions ask for."""

    def __init__(self, column: Column, order: Indices, column_type: ColumnType) -> None:
        self.column_type = column_type
        self._column = column
        self._order = order

    @cached_property
    def valid(self) -> BoolArray:
        """Where there is a value."""
        if self._column.valid is None:
            return np.ones(len(self._order), np.bool_)
        valid: BoolArray = gathered(self._column.valid, self._order)
        return valid

    @cached_property
    def floats(self) -> FloatArray:
        """Values as floats; of what is missing, anything."""
        values = gathered(self._column.values, self._order)
        return values.astype(np.float64, copy=False)

    @cached_property
    def running_counts(self) -> Indices:
        """Number of values before each row."""
        return kernel_prefix.running_counts(self.valid)

    @cached_property
    def running_sums(self) -> IntArray:
        """Sum of an integer column's values before each row."""
        values = gathered(self._column.values, self._order)
        return kernel_prefix.running_sums(values, self.valid)

    @cached_property
    def registers(self) -> tuple[Bytes, Bytes]:
        """Register and rank of each value's hash."""
        register, rank = _registers(self._column.values, is_hashed=self.column_type == "string")
        return gathered(register, self._order), gathered(rank, self._order)


def _registers(values: NDArray[Any], *, is_hashed: bool) -> tuple[Bytes, Bytes]:
    """Register and rank of every value, a block at a time: temporaries are eight wide."""
    register, rank = np.empty(len(values), np.uint8), np.empty(len(values), np.uint8)
    for first in range(0, len(values), _BLOCK_ROWS):
        block = slice(first, first + _BLOCK_ROWS)
        hashes = values[block].view(np.uint64) if is_hashed else hll.hash_numbers(values[block])
        register[block], rank[block] = hll.registers_and_ranks(hashes)
    return register, rank


class Cell:
    """The answers that one column gives over one span; shared parts are computed once."""

    def __init__(self, column: OrderedColumn, span: Span) -> None:
        self.column = column
        self.span = span

    def answers(self, feature: WindowFeature) -> FloatArray:
        """Values of ``feature`` for each ordered point; NaN is null."""
        return _FUNCTIONS[feature.function](self, feature)

    @cached_property
    def counts(self) -> FloatArray:
        """Number of values."""
        return kernel_prefix.differences(self.column.running_counts, *self.span.arrays)

    @cached_property
    def totals(self) -> FloatArray:
        """Sum of values: exact for integers, compensated for floats."""
        if self.column.column_type == "float64":
            return self.pairs(0.0, 1)[0]
        return kernel_prefix.differences(self.column.running_sums, *self.span.arrays)

    def pairs(self, centre: float, power: int) -> tuple[FloatArray, FloatArray]:
        """Sums of ``(value - centre) ** power`` as double-doubles."""
        column = self.column
        return kernel_slides.pair_sums(
            column.floats, column.valid, centre, power, *self.span.arrays
        )


def _count(cell: Cell, feature: WindowFeature) -> FloatArray:
    return cell.counts


def _sum(cell: Cell, feature: WindowFeature) -> FloatArray:
    return cell.totals


def _mean(cell: Cell, feature: WindowFeature) -> FloatArray:
    means = np.full(len(cell.counts), np.nan)
    np.divide(cell.totals, cell.counts, out=means, where=cell.counts > 0)
    return means


def _extreme(sign: float) -> Callable[[Cell, WindowFeature], FloatArray]:
    def extreme(cell: Cell, feature: WindowFeature) -> FloatArray:
        column = cell.column
        return kernel_slides.extremes(column.floats, column.valid, sign, *cell.span.arrays)

    return extreme


def _last(cell: Cell, feature: WindowFeature) -> FloatArray:
    rows = kernel_prefix.latest_rows(cell.column.valid, *cell.span.arrays)
    return taken(cell.column.floats, rows)


def _count_distinct(cell: Cell, feature: WindowFeature) -> FloatArray:
    register, rank = cell.column.registers
    return kernel_distinct.distinct_counts(
        register, rank, cell.column.valid, _LINEAR_COUNTS, hll.RAW_SCALE, *cell.span.arrays
    )


def _stddev(cell: Cell, feature: WindowFeature) -> FloatArray:
    first, second = cell.pairs(feature.centre, 1), cell.pairs(feature.centre, 2)
    return sums.deviations(cell.counts, first, second)


_FUNCTIONS: dict[WindowFunction, Callable[[Cell, WindowFeature], FloatArray]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "min": _extreme(-1.0),
    "max": _extreme(1.0),
    "last": _last,
    "count_distinct": _count_distinct,
    "stddev": _stddev,
}


def taken(values: FloatArray | IntArray, rows: Indices) -> FloatArray:
    """``values`` at ``rows`` as floats, NaN for row -1."""
    if len(values) == 0:
        return np.full(len(rows), np.nan)
    found = np.take(values, rows, mode="clip").astype(np.float64)
    found[rows < 0] = np.nan
    return found
