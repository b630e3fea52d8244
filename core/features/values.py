"""What counts as a value: one rule for missing and for types, on every host."""

from __future__ import annotations

import math

from core.features.plan import ColumnType

RawValue = str | int | float | bool | None
Value = str | int | float | None


def cast_value(value: RawValue, column_type: ColumnType) -> Value:
    """A column's value as features see it; None where it is missing.

    Null, NaN and infinities are missing. Booleans are 0 and 1, instants integer
    milliseconds, numbers of a float64 column floats (minus zero becomes zero).

    Examples
    --------
    >>> cast_value(True, "bool"), cast_value(2, "float64"), cast_value(float("nan"), "float64")
    (1, 2.0, None)
    """
    if value is None:
        return None
    if column_type == "string":
        return str(value)
    if column_type == "float64":
        number = float(value) + 0.0
        return number if math.isfinite(number) else None
    return int(value)
