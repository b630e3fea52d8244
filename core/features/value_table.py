"""Values of many points in one array: a row a name, so that nothing is gathered name by name.

Where a pass has one point, what an array costs is its call: forty-two arrays of one number made
one by one, and put together again for the model, took longer than the model.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.features.plan import Plan
from core.features.transforms import AT_MS

Array = NDArray[np.float64]


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
        self.n_read = len(read)
        self.first_made = self.first_read + len(read)
        self.vector = np.array([self.rows[name] for name in plan.vector], dtype=np.intp)


class ValueTable(Mapping[str, Array]):
    """Values by qualified name, each shape ``(n,)``, that lie in one array.

    What was not put down yet is NaN. ``address`` is where the array begins, for compiled code.

    Examples
    --------
    >>> plan = Plan(service="s", views=(), transforms=(), request_fields=(), vector=("at_ms",))
    >>> table = ValueTable(ValueLayout(plan), 2)
    >>> table.put({"at_ms": np.array([1.0, 2.0])})
    >>> table["at_ms"], table.vector_columns()
    (array([1., 2.]), array([[1., 2.]]))
    """

    __slots__ = ("address", "array", "layout")

    def __init__(self, layout: ValueLayout, n_points: int) -> None:
        numbers = array("d", (math.nan,)) * (len(layout.rows) * n_points)
        self.layout = layout
        self.address = numbers.buffer_info()[0]
        self.array: Array = np.frombuffer(numbers).reshape(len(layout.rows), n_points)

    def put(self, values: Mapping[str, Array]) -> None:
        """Put down values; KeyError for a name that the plan does not have."""
        rows = self.layout.rows
        for name, of_points in values.items():
            self.array[rows[name]] = of_points

    def vector_columns(self) -> Array:
        """What the model takes, shape ``(columns, n)``, in the plan's order."""
        return self.array.take(self.layout.vector, axis=0)

    def made(self, place: int) -> list[float]:
        """What transforms made of one point, in the order of the plan."""
        found: list[float] = self.array[self.layout.first_made :, place].tolist()
        return found

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
