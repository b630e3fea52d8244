"""Records as arrays: what was recorded of predictions of one release, ready to be computed again.

A record is the JSON of one prediction (docs/records.md). Null stands for NaN. What a masked
input went into cannot be computed again, and is told apart from what is unequal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.decisions import Decided
from core.errors import IntegrityError
from core.features.plan import Plan

Record = Mapping[str, Any]
Arrays = dict[str, NDArray[np.float64]]

_INPUTS = "inputs/"
_ENTITIES = "entities/"


def masked_inputs(record: Record) -> set[str]:
    """Request fields that the record does not hold, as a plan names them.

    Examples
    --------
    >>> masked_inputs({"masked": ["entities/card_id", "inputs/age"]})
    {'request:age'}
    """
    return {
        f"request:{path.removeprefix(_INPUTS)}"
        for path in record.get("masked", ())
        if path.startswith(_INPUTS)
    }


def masked_keys(record: Record) -> set[str]:
    """Join keys of which the record holds a mask."""
    return {
        path.removeprefix(_ENTITIES)
        for path in record.get("masked", ())
        if path.startswith(_ENTITIES)
    }


def without_masked(plan: Plan, masked: set[str]) -> tuple[Plan, list[str]]:
    """The plan without the transforms that read a masked input, and what those put out."""
    readers = [each for each in plan.transforms if masked & set(each.inputs)]
    if not readers:
        return plan, []
    others = tuple(each for each in plan.transforms if each not in readers)
    hidden = [f"{each.name}:{output}" for each in readers for output in each.outputs]
    return plan.model_copy(update={"transforms": others}), hidden


def recorded_inputs(records: Sequence[Record], plan: Plan) -> Arrays:
    """Arrays of shape ``(n,)`` that a plan's transforms take: instants, request fields, features.

    Raises
    ------
    IntegrityError
        If a record lacks a value that the plan needs.
    """
    arrays = {"at_ms": array_of([record["at_ms"] for record in records])}
    try:
        for field in plan.request_fields:
            column = [record["inputs"][field.name] for record in records]
            arrays[f"request:{field.name}"] = array_of(column)
        for view in plan.views:
            held = [record["features"][view.name]["values"] for record in records]
            for name in view.feature_names:
                arrays[f"{view.name}:{name}"] = array_of([values[name] for values in held])
    except KeyError as error:
        raise IntegrityError(
            "the record lacks a value that its plan needs",
            found=f"no {error.args[0]!r}",
            remedy="report this record: it was not written by this release",
            code="record_incomplete",
        ) from error
    return arrays


def recorded_transforms(records: Sequence[Record], names: Sequence[str]) -> Arrays:
    """Recorded outputs of transforms, shape ``(n,)`` each; NaN where there is none."""
    return {name: array_of([r["transforms"].get(name) for r in records]) for name in names}


def array_of(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Float64 array of recorded values; null is NaN."""
    return np.array(values, dtype=np.float64)


def differing_decision(
    record: Record, decided: Decided
) -> list[tuple[str, str | int | None, str | int | None]]:
    """Where a record decides otherwise: what, as recorded, and as decided now.

    The rule, too: two may have one decision and one reason. Records of before there were rules
    to tell apart say none.

    Examples
    --------
    >>> record = {"decision": "REVIEW", "reason": "large", "rule": 2}
    >>> differing_decision(record, Decided(1, "REVIEW", "large"))
    [('rule', 2, 1)]
    """
    return [
        (name, record[name], now)
        for name, now in decided._asdict().items()
        if name in record and record[name] != now
    ]


def ulp_distances(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.int64]:
    """How many float32 values lie between two, row by row, after the one cast to float32.

    0 is equal, and so is NaN beside NaN; NaN beside a number is as far apart as can be.

    Examples
    --------
    >>> one = np.float32(1)
    >>> near = np.array([one, np.nextafter(one, np.float32(2)), np.nan, np.nan])
    >>> ulp_distances(np.array([1.0, 1.0, np.nan, 1.0]), near).tolist()
    [0, 1, 0, 4294967296]
    >>> ulp_distances(np.array([0.0]), np.array([-0.0])).tolist()
    [0]
    """
    is_null = np.isnan(a), np.isnan(b)
    places = [_place(np.where(null, 0.0, x)) for null, x in zip(is_null, (a, b), strict=True)]
    distance: NDArray[np.int64] = np.abs(places[0] - places[1])
    distance[is_null[0] != is_null[1]] = 2**32
    distance[is_null[0] & is_null[1]] = 0
    return distance


def _place(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Place of each float32 among all of them, in their order; both zeros have place 0."""
    largest = np.finfo(np.float32).max
    bits = np.clip(values, -largest, largest).astype(np.float32).view(np.int32).astype(np.int64)
    places: NDArray[np.int64] = np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
    return places
