"""Request-time functions: of every operation that compiled code knows, and of some it does not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.float64]]
Made = Mapping[str, NDArray[np.generic]]


def arithmetic(inputs: Arrays) -> Made:
    a, b = inputs["a"], inputs["b"]
    return {
        "add": a + b,
        "subtract": a - b,
        "multiply": a * b,
        "divide": a / b,
        "remainder": np.mod(a, b),
        "floor_divide": a // b,
        "square": np.square(a),
        "negative": -a,
        "absolute": np.abs(a),
        "sqrt": np.sqrt(a),
    }


def rounding(inputs: Arrays) -> Made:
    a = inputs["a"]
    return {"floor": np.floor(a), "ceil": np.ceil(a), "trunc": np.trunc(a), "rint": np.rint(a)}


def comparisons(inputs: Arrays) -> Made:
    a, b = inputs["a"], inputs["b"]
    return {
        "less": a < b,
        "less_equal": a <= b,
        "greater": a > b,
        "greater_equal": a >= b,
        "equal": a == b,
        "not_equal": a != b,
        "isnan": np.isnan(a),
        "isfinite": np.isfinite(a),
        "isinf": np.isinf(a),
    }


def choices(inputs: Arrays) -> Made:
    a, b, c = inputs["a"], inputs["b"], inputs["c"]
    one, other = a > b, np.isfinite(c)
    return {
        "logical_and": one & other,
        "logical_or": np.logical_or(one, other),
        "logical_xor": one ^ other,
        "logical_not": ~one,
        "where": np.where(one, b, c),
        "truths": np.where(one, other, one),
        "wholes": np.where(one, 1, 0),
    }


def shares(inputs: Arrays) -> Made:
    """As a data scientist writes: shares, times, nulls."""
    a, b, c = inputs["a"], inputs["b"], inputs["c"]
    hour = np.floor(np.mod(a, 86_400_000) / 3_600_000)
    return {
        "share": np.where(b > 0, a / b, np.nan),
        "is_late": (hour >= 22) | (hour < 6),
        "steps": np.where(np.isfinite(c), (c - b) // 3, -1.0),
        "weight": 0.25 * np.sqrt(np.abs(a)) + 2,
    }


def loudness(inputs: Arrays) -> Made:
    """Numpy's alone."""
    return {"log": np.log1p(np.abs(inputs["a"])), "kept": inputs["b"]}
