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
from core.features.kernel_order import Indices
from core.features.plan import ColumnType, WindowFeature, WindowFunction

_LINEAR_COUNTS = np.array(hll.LINEAR_COUNTS)


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
        return np.take(self._column.valid, self._order)

    @cached_property
    def integers(self) -> IntArray:
        """Values of an integer column, zero where missing."""
        values = np.take(self._column.values, self._order)
        if self._column.valid is not None:
            values[~self.valid] = 0
        return values.astype(np.int64, copy=False)

    @cached_property
    def floats(self) -> FloatArray:
        """Values as floats; of what is missing, anything."""
        return np.take(self._column.values, self._order).astype(np.float64, copy=False)

    @cached_property
    def registers(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Register and rank of each value's hash."""
        values: NDArray[Any] = np.take(self._column.values, self._order)
        if self.column_type == "string":  # already hashes
            return hll.registers_and_ranks(values.view(np.uint64))
        return hll.registers_and_ranks(hll.hash_numbers(values))


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
        return kernel_prefix.counts(self.column.valid, *self.span.arrays).astype(np.float64)

    @cached_property
    def totals(self) -> FloatArray:
        """Sum of values: exact for integers, compensated for floats."""
        if self.column.column_type == "float64":
            return self.pairs(0.0, 1)[0]
        totals = kernel_prefix.integer_sums(self.column.integers, *self.span.arrays)
        return totals.astype(np.float64)

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
