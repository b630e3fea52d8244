"""Values of many points in one array: a row a name, so that nothing is gathered name by name.

Where a pass has one point, what an array costs is its call: forty-two arrays of one number made
one by one, and put together again for the model, took longer than the model.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.features.plan import Plan
from core.features.transforms import AT_MS

Array = NDArray[np.float64]

_NULL = array("d", (math.nan,))


class ValueLayout:
    """Which row a value of a plan has: ``at_ms``, request fields, views, outputs of transforms.

    Examples
    --------
    >>> plan = Plan(service="s", views=(), transforms=(), request_fields=(), vector=("at_ms",))
    >>> ValueLayout(plan).rows
    {'at_ms': 0}
    """

    def __init__(self, plan: Plan) -> None:
        fields = [f"request:{field.name}" for field in plan.request_fields]
        read = [f"{view.name}:{name}" for view in plan.views for name in view.feature_names]
        made = [f"{each.name}:{name}" for each in plan.transforms for name in each.outputs]
        names = dict.fromkeys((AT_MS, *fields, *read, *made))
        self.plan = plan
        self.rows = {name: row for row, name in enumerate(names)}
        self.first_read = 1 + len(fields)
        self.first_made = self.first_read + len(read)
        self.vector = np.array([self.rows[name] for name in plan.vector], dtype=np.intp)


class ValueTable(Mapping[str, Array]):
    """Values by qualified name, each shape ``(n,)``, that lie in one array.

    What was not put down yet is NaN.

    Parameters
    ----------
    begins
        The first of the numbers, row by row.

    Attributes
    ----------
    numbers
        All values, row by row, as compiled code takes them.

    Examples
    --------
    >>> plan = Plan(service="s", views=(), transforms=(), request_fields=(), vector=("at_ms",))
    >>> table = ValueTable(ValueLayout(plan), 2)
    >>> table.put({"at_ms": np.array([1.0, 2.0])})
    >>> table["at_ms"], table.vector_columns()
    (array([1., 2.]), array([[1., 2.]]))
    """

    __slots__ = ("_array", "layout", "n_points", "numbers")

    def __init__(self, layout: ValueLayout, n_points: int, begins: Iterable[float] = ()) -> None:
        numbers = array("d", begins)
        numbers.extend(_NULL * (len(layout.rows) * n_points - len(numbers)))
        self.layout = layout
        self.n_points = n_points
        self.numbers = numbers
        self._array: Array | None = None

    @property
    def address(self) -> int:
        """Where the numbers begin."""
        return self.numbers.buffer_info()[0]

    @property
    def array(self) -> Array:
        """All values, shape ``(rows, n)``; not copied."""
        if self._array is None:
            self._array = np.frombuffer(self.numbers).reshape(len(self.layout.rows), self.n_points)
        return self._array

    @property
    def read(self) -> Array:
        """Values of the views, shape ``(values, n)``; not copied."""
        return self.array[self.layout.first_read : self.layout.first_made]

    def copy(self) -> ValueTable:
        """The same, to be changed."""
        return ValueTable(self.layout, self.n_points, self.numbers)

    def put(self, values: Mapping[str, Array]) -> None:
        """Put down values; KeyError for a name that the plan does not have."""
        rows = self.layout.rows
        for name, of_points in values.items():
            self.array[rows[name]] = of_points

    def vector_columns(self) -> Array:
        """What the model takes, shape ``(columns, n)``, in the plan's order."""
        return self.array.take(self.layout.vector, axis=0)

    def some(self, places: Sequence[int]) -> ValueTable:
        """Values of some of the points, in that order."""
        table = ValueTable(self.layout, len(places))
        table.array[:] = self.array[:, places]
        return table

    def __getitem__(self, name: str) -> Array:
        """Values of one name."""
        found: Array = self.array[self.layout.rows[name]]
        return found

    def __iter__(self) -> Iterator[str]:
        """Names in the order of their rows."""
        return iter(self.layout.rows)

    def __len__(self) -> int:
        """How many names there are."""
        return len(self.layout.rows)
