"""Tensors of the Open Inference Protocol, and the one cast from them to a model's vectors.

A model takes its whole vector as one tensor ``vector`` of shape ``[n, d]``, or one tensor a
column, named as in the plan, of shape ``[n]`` or ``[n, 1]``. NaN is null, as everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.features.plan import Plan
from core.features.vector import LARGEST, vector_of
from serving.engine.engine import MAX_POINTS
from serving.errors import BrokenContractError, FieldFault, ListTooLongError
from stores.shelf.bundle import MODEL_INPUT, MODEL_OUTPUT

DTYPES: dict[str, str] = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""The protocol's datatypes that are numbers, as numpy spells them; little-endian on the wire."""

SCORE_TYPE = "FP32"
MAX_ID = 256
"""Characters of a request's id, which comes back with its answer."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input as it came: its values, in the shape that was said."""

    name: str
    values: NDArray[Any]


def tensor(
    name: str,
    datatype: str,
    shape: Sequence[int],
    flat: Callable[[np.dtype[Any]], NDArray[Any]],
    *,
    pointer: str,
) -> Tensor:
    """Tensor of a declared type and shape, of the values that ``flat`` gives for the type.

    Raises
    ------
    BrokenContractError
        If the type is not one of numbers, or type, shape and values do not fit each other.
    """
    spelt = DTYPES.get(datatype)
    if spelt is None:
        known = ", ".join(DTYPES)
        raise fault(f"{pointer}/datatype", "wrong_type", f"must be one of {known}")
    if not 1 <= len(shape) <= 2 or min(shape) < 1:
        raise fault(f"{pointer}/shape", "wrong_shape", "must be one or two sizes, each at least 1")
    try:
        values = flat(np.dtype(spelt))
    except (ValueError, OverflowError):
        raise fault(f"{pointer}/data", "wrong_type", f"must hold values of {datatype}") from None
    if values.size != math.prod(shape):
        message = f"must hold as many values as the shape says; holds {values.size}"
        raise fault(f"{pointer}/data", "wrong_size", message)
    return Tensor(name, values.reshape(shape))


def vectors_of(plan: Plan, tensors: Sequence[Tensor]) -> NDArray[np.float32]:
    """Vectors of a plan from what was sent, shape ``(n, d)``, cast to float32 once.

    Raises
    ------
    BrokenContractError
        If they are not the plan's inputs, disagree about ``n``, or hold an infinity.
    ListTooLongError
        If there are more than 1,000 rows.
    """
    for index, given in enumerate(tensors):
        if len(given.values) > MAX_POINTS:
            raise ListTooLongError(
                "too many rows in one request",
                found=f"{len(given.values)}",
                remedy=f"send at most {MAX_POINTS}",
            )
        if given.values.dtype.kind == "f" and np.isinf(given.values).any():
            message = "must be finite numbers; NaN is null"
            raise fault(f"/inputs/{index}/data", "not_finite", message)
    if len(tensors) == 1 and tensors[0].name == MODEL_INPUT:
        return _whole(plan, tensors[0].values)
    return _of_columns(plan, tensors)


def score_metadata() -> dict[str, Any]:
    """The one output of every model."""
    return {"name": MODEL_OUTPUT, "datatype": SCORE_TYPE, "shape": [-1, 1]}


def vector_metadata(plan: Plan) -> dict[str, Any]:
    """The whole vector of a plan as the one input that every client can send."""
    return {"name": MODEL_INPUT, "datatype": "FP32", "shape": [-1, len(plan.vector)]}


def check_output(pointer: str, name: str, parameters: Mapping[str, object]) -> None:
    """Return when an output that is asked for is one that models have; BrokenContractError else."""
    if name != MODEL_OUTPUT:
        raise fault(f"{pointer}/name", "unknown_field", f"must be {MODEL_OUTPUT}")
    if "classification" in parameters:
        message = "classification is not offered: a model answers one score"
        raise fault(f"{pointer}/parameters", "not_offered", message)


def fault(pointer: str, code: str, message: str) -> BrokenContractError:
    """The error of one field that does not fit."""
    return BrokenContractError([FieldFault(pointer, code, message)])


def _whole(plan: Plan, values: NDArray[Any]) -> NDArray[np.float32]:
    width = len(plan.vector)
    if values.ndim != 2 or values.shape[1] != width:
        raise fault("/inputs/0/shape", "wrong_shape", f"must be [n, {width}]")
    if (
        values.dtype == np.float32 and values.flags.aligned
    ):  # behind JSON of any length it may not be
        return values
    with np.errstate(over="ignore"):
        vectors = values.astype(np.float32)
    np.minimum(vectors, LARGEST, out=vectors)  # np.clip does these two, and takes twice as long
    return np.maximum(vectors, -LARGEST, out=vectors)


def _of_columns(plan: Plan, tensors: Sequence[Tensor]) -> NDArray[np.float32]:
    known = frozenset(plan.vector)
    faults: list[FieldFault] = []
    columns: dict[str, NDArray[np.float64]] = {}
    for index, given in enumerate(tensors):
        here = f"/inputs/{index}"
        if given.name not in known:  # the name is input: not repeated
            message = f"must be {MODEL_INPUT} alone, or columns of the model's vector"
            faults.append(FieldFault(f"{here}/name", "unknown_field", message))
        elif given.name in columns:
            faults.append(FieldFault(f"{here}/name", "duplicate_field", "must come once"))
        elif given.values.ndim == 2 and given.values.shape[1] != 1:
            faults.append(FieldFault(f"{here}/shape", "wrong_shape", "must be [n] or [n, 1]"))
        else:
            columns[given.name] = given.values.reshape(-1).astype(np.float64)
    faults += _missing(plan, columns) if not faults else []
    if not faults and len({len(column) for column in columns.values()}) > 1:
        message = "must hold as many rows each"
        faults.append(FieldFault("/inputs", "wrong_shape", message))
    if faults:
        raise BrokenContractError(faults)
    return vector_of(plan, columns)


def _missing(plan: Plan, columns: Mapping[str, object]) -> list[FieldFault]:
    missing = [name for name in plan.vector if name not in columns]
    said = f"must hold {missing[0]}" if missing else ""
    more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
    return [FieldFault("/inputs", "missing_field", said + more)] if missing else []
