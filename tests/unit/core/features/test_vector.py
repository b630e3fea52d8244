"""The one cast to float32."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import InvalidInputError
from core.features.plan import Plan
from core.features.vector import vector_of

PLAN = Plan(service="s", views=(), transforms=(), request_fields=(), vector=("v:b", "v:a"))


def test_columns_stand_in_the_order_of_the_plan_not_of_the_values():
    vectors = vector_of(PLAN, {"v:a": np.array([1.0, 2.0]), "v:b": np.array([3.0, np.nan])})
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_array_equal(vectors, np.array([[3, 1], [np.nan, 2]], np.float32))


def test_each_value_is_rounded_once_to_the_nearest():
    numbers = np.random.default_rng(7).normal(size=10_000) * 10.0 ** np.arange(-40, 60).repeat(100)
    vectors = vector_of(PLAN, {"v:a": numbers, "v:b": numbers})
    largest = np.finfo(np.float32).max
    with np.errstate(over="ignore"):
        expected = np.clip(numbers.astype(np.float32), -largest, largest)
    np.testing.assert_array_equal(vectors[:, 0], expected)


def test_no_infinity_reaches_a_model():
    vectors = vector_of(PLAN, {"v:a": np.array([np.inf, -1e300]), "v:b": np.array([1e39, 0.0])})
    assert np.isfinite(vectors).all()


def test_no_points_give_no_vectors():
    vectors = vector_of(PLAN, {"v:a": np.array([]), "v:b": np.array([])})
    assert vectors.shape == (0, 2)


def test_a_missing_value_is_refused_by_name():
    with pytest.raises(InvalidInputError, match="v:b"):
        vector_of(PLAN, {"v:a": np.array([1.0])})
