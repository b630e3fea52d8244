"""Readings: what was read of a plan's views for the points of a pass, as columns.

Who asks about a pass asks for columns: the model, the records, the answers.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.degradation import UNAVAILABLE
from core.features.plan import Plan
from core.features.value_table import ValueTable
from core.packed_records import NONE, STATUSES
from stores.view_merging import AGES, N_COLUMNS, SOURCE_AGES, Told

Numbers = NDArray[np.int64]

_UNAVAILABLE = STATUSES.index(UNAVAILABLE)


class ViewRows:
    """Views of a plan by name, in its order, and which rows their values have in `Readings`.

    Examples
    --------
    >>> plan = Plan(service="s", views=(), transforms=(), request_fields=(), vector=("at_ms",))
    >>> rows = ViewRows(plan)
    >>> rows.names, rows.n_values
    ((), 0)
    """

    def __init__(self, plan: Plan) -> None:
        self.names = tuple(view.name for view in plan.views)
        self.places = {name: place for place, name in enumerate(self.names)}
        self.of_values: list[slice] = []
        self.n_values = 0
        for view in plan.views:
            end = self.n_values + len(view.feature_names)
            self.of_values.append(slice(self.n_values, end))
            self.n_values = end


class Readings:
    """What was read for points, in order.

    Parameters
    ----------
    table
        The points' instants, request fields and what was read; what transforms make comes there,
        too.
    told
        What was told of the views beside their values.
    """

    def __init__(self, rows: ViewRows, table: ValueTable, told: Told) -> None:
        self.rows = rows
        self.table = table
        self.told = told

    @classmethod
    def nothing(cls, rows: ViewRows, table: ValueTable) -> Readings:
        """Where nothing could be read: every value of a table null, every view unavailable."""
        told = Told(len(rows.names) * table.n_points)
        told.statuses = array("B", (_UNAVAILABLE,)) * told.n_cells
        told.numbers = array("q", (NONE,)) * len(told.numbers)
        return cls(rows, table, told)

    @property
    def numbers(self) -> NDArray[np.float64]:
        """Values, shape ``(values, n)``, in the order of the plan's views; NaN for null."""
        return self.table.read

    @cached_property
    def statuses(self) -> NDArray[np.uint8]:
        """Places in `core.packed_records.STATUSES`, shape ``(views, n)``, as of all that follow."""
        return np.frombuffer(self.told.statuses, dtype=np.uint8).reshape(self._shape)

    @property
    def ages_ms(self) -> Numbers:
        """Ages (ms): of windows their source, of attributes their row; `NONE` if unknown."""
        return self._column(AGES)

    @property
    def source_ages_ms(self) -> Numbers:
        """Ages of the sources (ms); `NONE` when unknown."""
        return self._column(SOURCE_AGES)

    def source_ages_of(self, view: str) -> Sequence[int]:
        """The same of one view, in order of the points."""
        start = SOURCE_AGES * self.told.n_cells + self.rows.places[view] * self.table.n_points
        return self.told.numbers[start : start + self.table.n_points]

    @cached_property
    def _columns(self) -> Numbers:
        return np.frombuffer(self.told.numbers, dtype=np.int64).reshape(N_COLUMNS, *self._shape)

    def _column(self, number: int) -> Numbers:
        column: Numbers = self._columns[number]
        return column

    @property
    def _shape(self) -> tuple[int, int]:
        return len(self.rows.names), self.table.n_points

    def __len__(self) -> int:
        """How many points there are."""
        return self.table.n_points

    def some(self, places: Sequence[int]) -> Readings:
        """Those of some of the points, in that order."""
        told = Told(len(self.rows.names) * len(places))
        told.statuses = array("B", self.statuses.take(places, axis=1).tobytes())
        told.numbers = array("q", self._columns.take(places, axis=2).tobytes())
        return Readings(self.rows, self.table.some(places), told)

    def without(self, views: Sequence[Collection[str]], status: str) -> Readings:
        """The same without some views of points: their values null, their status another.

        Parameters
        ----------
        views
            Of each point those that are taken away.
        """
        table, told = self.table.copy(), self.told.copy()
        n_points, number = table.n_points, STATUSES.index(status)
        for place, names in enumerate(views):
            for name in names:
                view = self.rows.places[name]
                table.read[self.rows.of_values[view], place] = math.nan
                told.statuses[view * n_points + place] = number
        return Readings(self.rows, table, told)
