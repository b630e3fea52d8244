"""The one cast: from float64 feature values to the float32 vector of a model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.features.plan import Plan
from core.features.value_table import ValueTable

LARGEST = np.finfo(np.float32).max


def vector_of(plan: Plan, values: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float32]:
    """Vectors of a plan, one row a point, in the plan's order.

    Rounds each value to the nearest float32, once. NaN stays NaN. A magnitude beyond
    float32 is held at its largest finite value, so that order survives and no infinity
    reaches a model.

    Parameters
    ----------
    plan
        Compiled feature service; ``plan.vector`` is the order of the columns.
    values
        Arrays of shape ``(n,)`` by qualified name. Names outside the vector are ignored. A
        `ValueTable` of this plan gives all of them at once.

    Returns
    -------
    NDArray
        Shape ``(n, len(plan.vector))``, C order.

    Raises
    ------
    InvalidInputError
        If a value of the vector is missing.

    Examples
    --------
    >>> plan = Plan(
    ...     service="s", views=(), transforms=(), request_fields=(), vector=("v:b", "v:a")
    ... )
    >>> vector_of(plan, {"v:a": np.array([0.5, np.nan]), "v:b": np.array([1.0, 1e300])})
    array([[1.0000000e+00, 5.0000000e-01],
           [3.4028235e+38,           nan]], dtype=float32)
    """
    if isinstance(values, ValueTable) and values.layout.plan is plan:
        return _nearest(values.vector_columns())
    missing = [name for name in plan.vector if name not in values]
    if missing:
        raise InvalidInputError(
            "the vector cannot be made",
            found=f"no value for {', '.join(missing)}",
            remedy="read every view of the plan and apply its transforms",
        )
    columns = [values[name] for name in plan.vector]
    if not columns:
        return np.empty((0, 0), dtype=np.float32)
    return _nearest(np.array(columns, dtype=np.float64))


def _nearest(columns: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        vectors = columns.T.astype(np.float32, order="C")
    np.minimum(vectors, LARGEST, out=vectors)  # keeps NaN; as clip, at a third of its price
    return np.maximum(vectors, -LARGEST, out=vectors)
