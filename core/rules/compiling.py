"""Conditions as functions: of one row, and of arrays. Equal answers, proved by test.

A row is a tuple of floats, the score first; arrays come in the same order. What is missing
is NaN, so every comparison with it is false by itself, but for ``!=``, which says so.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from core.rules.arithmetic import Floats, combined, combined_arrays
from core.rules.condition import (
    Arithmetic,
    Comparison,
    Condition,
    Every,
    Name,
    Number,
    Presence,
    Quantity,
    Relation,
    Text,
)

Row = Sequence[float]
Bools = NDArray[np.bool_]
Places = Mapping[str, int]
RowTest = Callable[[Row], bool]
ArrayTest = Callable[[Sequence[Floats]], Bools]

_RELATIONS: dict[Relation, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


def row_test(condition: Condition, places: Places) -> RowTest:
    """Function that says whether a condition is true of a row.

    Parameters
    ----------
    condition
        Bound to a plan: it holds no text.
    places
        Where each name stands in a row.
    """
    if isinstance(condition, Comparison):
        return _row_comparison(condition, places)
    if isinstance(condition, Presence):
        value, is_missing = _row_value(condition.operand, places), condition.is_missing
        return lambda row: (value(row) != value(row)) == is_missing
    tests = [row_test(part, places) for part in condition.parts]
    return reduce(_both if isinstance(condition, Every) else _either, tests)


def _both(one: RowTest, other: RowTest) -> RowTest:
    return lambda row: one(row) and other(row)


def _either(one: RowTest, other: RowTest) -> RowTest:
    return lambda row: one(row) or other(row)


def array_test(condition: Condition, places: Places) -> ArrayTest:
    """Function that says of every row whether a condition is true of it."""
    if isinstance(condition, Comparison):
        return _array_comparison(condition, places)
    if isinstance(condition, Presence):
        value, is_missing = _array_value(condition.operand, places), condition.is_missing
        return lambda arrays: np.isnan(value(arrays)) == is_missing
    tests = tuple(array_test(part, places) for part in condition.parts)
    join = np.logical_and if isinstance(condition, Every) else np.logical_or
    return lambda arrays: join.reduce([test(arrays) for test in tests])


def _row_comparison(comparison: Comparison, places: Places) -> RowTest:
    left, right = _row_value(comparison.left, places), _row_value(comparison.bound, places)
    if comparison.relation == "!=":
        return lambda row: left(row) < right(row) or left(row) > right(row)
    holds = _RELATIONS[comparison.relation]
    if isinstance(comparison.left, Name) and isinstance(comparison.bound, Number):
        place, bound = places[comparison.left.qualified], comparison.bound.value
        return lambda row: holds(row[place], bound)
    return lambda row: holds(left(row), right(row))


def _array_comparison(comparison: Comparison, places: Places) -> ArrayTest:
    left, right = _array_value(comparison.left, places), _array_value(comparison.bound, places)
    if comparison.relation == "!=":
        return lambda arrays: (left(arrays) < right(arrays)) | (left(arrays) > right(arrays))
    holds = _RELATIONS[comparison.relation]
    return lambda arrays: np.asarray(holds(left(arrays), right(arrays)), dtype=np.bool_)


def _row_value(quantity: Quantity, places: Places) -> Callable[[Row], float]:
    match quantity:
        case Number(value):
            return lambda _: value
        case Name(qualified):
            return operator.itemgetter(places[qualified])
        case Arithmetic(sign, left, right):
            one, other = _row_value(left, places), _row_value(right, places)
            return lambda row: combined(sign, one(row), other(row))
        case Text():
            raise _unbound(quantity)
    assert_never(quantity)


def _array_value(quantity: Quantity, places: Places) -> Callable[[Sequence[Floats]], Floats]:
    match quantity:
        case Number(value):
            constant = np.float64(value)
            return lambda _: constant  # type: ignore[return-value]  # it broadcasts
        case Name(qualified):
            return operator.itemgetter(places[qualified])
        case Arithmetic(sign, left, right):
            one, other = _array_value(left, places), _array_value(right, places)
            return lambda arrays: combined_arrays(sign, one(arrays), other(arrays))
        case Text():
            raise _unbound(quantity)
    assert_never(quantity)


def _unbound(text: Text) -> TypeError:
    return TypeError(f"the condition is not bound to a plan: {text}")
