"""Computing: from what was read to what the model takes, by compiled code where it is there.

Request-time functions that can be told in steps (`core.features.formulas`) are followed by the
library that merges (`stores.merging`), all of them for all points in one call, and the model's
vectors are put down in the same one. Functions that cannot be told are called as they stand, and
without the library all are: the same values, for 40 us more.
"""

from __future__ import annotations

import math
from array import array

import numpy as np
from numpy.typing import NDArray

from core.features.formulas import OPERATIONS, formula_of
from core.features.plan import Plan, TransformPlan
from core.features.transforms import apply_transforms, load_transform, short_name
from core.features.value_table import ValueLayout, ValueTable
from core.features.vector import vector_of
from stores.merging import Library

MAX_STEPS = 512
"""Of all functions of a plan; as in ``merge/formulas.h``."""

_NUMBERS = {name: number for number, name in enumerate(OPERATIONS)}
_OPERANDS = 3
_TRIED = (
    *(math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 7.0, 1e-310, -1e300),
    *(86_400_000.0, 1_790_000_000_000.0, 2.0**53 + 2.0, 1e18, 12_345.678),
)
"""As many as a prime: two rows that step through them at different paces meet all pairs."""


class Computing:
    """Computes for one plan.

    Parameters
    ----------
    layout
        Of the tables that it will be given.
    library
        The compiled code. Without it all is computed by numpy.
    """

    def __init__(self, layout: ValueLayout, library: Library | None) -> None:
        self._layout = layout
        self._library = library
        self._vector = array("q", layout.vector.tolist())
        self._steps = array("q")
        self._constants = array("d")
        transforms = layout.plan.transforms
        if library is None:
            self._by_numpy = layout.plan
            return
        self._by_numpy = self._plan_of([each for each in transforms if not self._tells(each)])
        if not self._agrees():
            self._steps, self._constants = array("q"), array("d")
            self._by_numpy = layout.plan

    @property
    def compiled(self) -> tuple[str, ...]:
        """Names of the transforms that compiled code computes."""
        left = {each.name for each in self._by_numpy.transforms}
        return tuple(each.name for each in self._layout.plan.transforms if each.name not in left)

    def vectors(self, table: ValueTable) -> NDArray[np.float32]:
        """Vectors of a table's points, as `vector_of`; what transforms make is put into the table.

        Raises
        ------
        ConfigurationError, IntegrityError
            As `apply_transforms`, of the functions that are called.
        """
        if self._by_numpy.transforms:
            table.put(apply_transforms(self._by_numpy, table))
        if self._library is None:
            return vector_of(self._layout.plan, table)
        n_points, width = table.n_points, len(self._vector)
        vectors = array("f", bytes(4 * n_points * width))
        self._library.throughline_compute(
            self._steps.buffer_info()[0],
            self._constants.buffer_info()[0],
            len(self._constants),
            table.address,
            n_points,
            self._vector.buffer_info()[0],
            width,
            vectors.buffer_info()[0],
        )
        return np.frombuffer(vectors, dtype=np.float32).reshape(n_points, width)

    def _tells(self, transform: TransformPlan) -> bool:
        """Add a function's steps to those before; False where it has none, or too many."""
        names = [short_name(name) for name in transform.inputs]
        formula = formula_of(load_transform(transform), names, transform.outputs)
        first, rows = len(self._constants), self._layout.rows
        if formula is None or first + len(formula.steps) + len(formula.outputs) > MAX_STEPS:
            return False
        for step in formula.steps:
            if step.operation == "input":
                operands = [rows[transform.inputs[step.operands[0]]]]
            else:
                operands = [first + place for place in step.operands]
            self._add(step.operation, operands, step.constant)
        for name, place in zip(transform.outputs, formula.outputs, strict=True):
            self._add("output", [first + place, rows[f"{transform.name}:{name}"]])
        return True

    def _add(self, operation: str, operands: list[int], constant: float = 0.0) -> None:
        unused = [0] * (_OPERANDS - len(operands))
        self._steps.extend((_NUMBERS[operation], *operands, *unused))
        self._constants.append(constant)

    def _agrees(self) -> bool:
        """Whether compiled code and numpy make the same bits of hard numbers, on this machine."""
        ours, theirs = self._tried(), self._tried()
        theirs.put(apply_transforms(self._layout.plan, theirs))
        expected = vector_of(self._layout.plan, theirs)
        found = self.vectors(ours)
        return (
            found.tobytes() == expected.tobytes() and ours.array.tobytes() == theirs.array.tobytes()
        )

    def _tried(self) -> ValueTable:
        n = len(_TRIED)
        table = ValueTable(self._layout, n * n)
        first, second = np.divmod(np.arange(n * n), n)
        for row in range(self._layout.first_made):
            table.array[row] = np.array(_TRIED)[(first + row * second) % n]
        return table

    def _plan_of(self, transforms: list[TransformPlan]) -> Plan:
        return self._layout.plan.model_copy(update={"transforms": tuple(transforms)})
