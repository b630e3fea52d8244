"""Request-time functions at export are those that the model was trained with.

Cases are kept when the candidate is fitted: inputs drawn from the ranges of the request
and of the features, with the outputs of that day. Before a bundle exists the functions
are loaded again, by digest, and must answer the same float32 bits.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from core.errors import IntegrityError
from core.features.plan import Frozen, Plan
from core.features.transforms import AT_MS, apply_transforms

N_CASES = 500
NULL_SHARE = 0.1
UNKNOWN_RANGE = (0.0, 1e6)

Column = tuple[float | None, ...]


class TransformCases(Frozen):
    """Inputs and outputs by qualified name, one column each; null is NaN."""

    inputs: dict[str, Column]
    outputs: dict[str, Column]


def transform_cases(
    plan: Plan, ranges: Mapping[str, tuple[float, float]], seed: int
) -> TransformCases:
    """Draw cases for all transforms of ``plan`` and compute them now.

    Parameters
    ----------
    plan
        Compiled feature service.
    ranges
        Lowest and highest value by qualified input name; an input that is not there
        (a feature outside the vector) is drawn from 0 to 1e6.
    seed
        Of the draws.
    """
    generator = np.random.default_rng(seed)
    names = sorted({name for transform in plan.transforms for name in transform.inputs})
    inputs = {}
    for name in names:
        low, high = ranges.get(name, UNKNOWN_RANGE)
        column = np.round(low + generator.random(N_CASES) * (high - low))
        if name != AT_MS:
            column[generator.random(N_CASES) < NULL_SHARE] = np.nan
        inputs[name] = column
    outputs = apply_transforms(plan, inputs)
    return TransformCases(inputs=_columns(inputs), outputs=_columns(outputs))


def case_inputs(cases: TransformCases) -> dict[str, NDArray[np.float64]]:
    """Inputs of the cases as arrays of shape ``(n,)``, by qualified name."""
    return {name: _array(column) for name, column in cases.inputs.items()}


def require_same_transforms(plan: Plan, cases: TransformCases) -> int:
    """Number of cases that the transforms of ``plan`` answer as they did at fitting.

    Raises
    ------
    IntegrityError
        If a function's code has another digest, or answers another value.
    """
    now = apply_transforms(plan, case_inputs(cases))
    if now.keys() != cases.outputs.keys():
        raise _stale(f"outputs {sorted(now)}, not {sorted(cases.outputs)}")
    for name, values in now.items():
        then = _array(cases.outputs[name]).astype(np.float32)
        is_other = ~((values.astype(np.float32) == then) | (np.isnan(values) & np.isnan(then)))
        if is_other.any():
            raise _stale(f"{int(is_other.sum())} of {len(then)} values of {name} are others")
    return len(next(iter(now.values()), ()))


def _stale(found: str) -> IntegrityError:
    return IntegrityError(
        "a request-time function is not the one that the model was trained with",
        found=found,
        remedy="put the old function back, or build the training set and the model again",
        code="transform_changed",
    )


def _columns(values: Mapping[str, NDArray[np.float64]]) -> dict[str, Column]:
    return {
        name: tuple(None if np.isnan(value) else float(value) for value in column)
        for name, column in values.items()
    }


def _array(column: Column) -> NDArray[np.float64]:
    return np.asarray([np.nan if value is None else value for value in column], dtype=np.float64)
