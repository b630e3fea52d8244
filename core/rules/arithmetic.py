"""Arithmetic of rules: float64, on one number and on arrays; no infinity comes out of it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.rules.condition import Sign

Floats = NDArray[np.float64]

FUNCTIONS: dict[Sign, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def combined(sign: Sign, left: float, right: float) -> float:
    """Result of one operation; NaN, which is missing, when it is not a finite number.

    Examples
    --------
    >>> combined("/", 1.0, 4.0), combined("/", 1.0, 0.0), combined("*", 1e300, 1e300)
    (0.25, nan, nan)
    """
    if sign == "/" and right == 0:
        return math.nan
    result: float = FUNCTIONS[sign](left, right)
    return result if math.isfinite(result) else math.nan


def combined_arrays(sign: Sign, left: Floats | float, right: Floats | float) -> Floats:
    """``combined``, value by value."""
    with np.errstate(all="ignore"):
        result = FUNCTIONS[sign](np.asarray(left), np.asarray(right))
    return np.where(np.isfinite(result), result, np.nan)
