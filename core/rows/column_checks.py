"""Checks of many values of one field at once: whether each is taken as it stands.

What a hundred candidates say of a field is mostly in order, and that can be seen of the column by a
few calls. Of a column that is not, `core.rows.field_checks` says what is wrong with which value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from core.contracts import FieldSpec
from core.rows.field_checks import EARLIEST_MS, INT64_MAX, INT64_MIN, LATEST_MS, members_of

Column = Sequence[Any]
ColumnCheck = Callable[[Column], bool]


def column_check_of(spec: FieldSpec) -> ColumnCheck:
    """Check compiled for the columns of one field.

    True only where `check_of` would give back each value as it is; a column that is not empty is
    meant. Where it says False a value may still be taken, as text of a number is.

    Examples
    --------
    >>> check = column_check_of(FieldSpec(name="amount", type="int64", minimum=0))
    >>> check([7, 0]), check([7, -1]), check([7, "7"]), check([7, None])
    (True, False, False, False)
    """
    return _CHECKS[spec.type](spec)


def _int_column(spec: FieldSpec) -> ColumnCheck:
    return _whole_numbers(spec, INT64_MIN, INT64_MAX)


def _instant_column(spec: FieldSpec) -> ColumnCheck:
    return _whole_numbers(spec, EARLIEST_MS, LATEST_MS)


def _whole_numbers(spec: FieldSpec, least: int, most: int) -> ColumnCheck:
    low = least if spec.minimum is None else max(least, math.ceil(spec.minimum))
    high = most if spec.maximum is None else min(most, math.floor(spec.maximum))

    def check(column: Column) -> bool:
        return {*map(type, column)} == {int} and low <= min(column) and max(column) <= high

    return check


def _float_column(spec: FieldSpec) -> ColumnCheck:
    low = -math.inf if spec.minimum is None else spec.minimum
    high = math.inf if spec.maximum is None else spec.maximum

    def check(column: Column) -> bool:
        return (
            {*map(type, column)} == {float}
            and all(map(math.isfinite, column))
            and all(column)  # a zero may be negative
            and low <= min(column)
            and max(column) <= high
        )

    return check


def _string_column(spec: FieldSpec) -> ColumnCheck:
    allowed = frozenset(spec.allowed)
    fullmatch = None if spec.pattern is None else re.compile(spec.pattern).fullmatch
    members = "" if spec.pattern is None else members_of(spec.pattern)

    def check(column: Column) -> bool:
        if {*map(type, column)} != {str} or not all(column):
            return False
        text = "".join(column)
        return (
            max(map(len, column)) <= spec.max_length
            and text.isascii()
            and "\0" not in text
            and (_is_of(members, text) if members else not fullmatch or all(map(fullmatch, column)))
            and (not allowed or allowed.issuperset(column))
        )

    return check


def _is_of(members: str, text: str) -> bool:
    """Whether a text has these characters only: what has another keeps at least that one."""
    return not text.strip(members)


def _bool_column(spec: FieldSpec) -> ColumnCheck:
    del spec  # a bool has nothing else to declare
    return lambda column: {*map(type, column)} == {bool}


_CHECKS: dict[str, Callable[[FieldSpec], ColumnCheck]] = {
    "int64": _int_column,
    "float64": _float_column,
    "string": _string_column,
    "bool": _bool_column,
    "timestamp": _instant_column,
}
