from __future__ import annotations

import numpy as np
import pytest

from core import checks
from core.errors import InvalidInputError
from core.features.plan import AttributeFeature, Plan, ViewPlan, WindowFeature

DAY = {"column": "x", "window_ms": 86_400_000, "grid_ms": 1_800_000}
HOUR = {"column": "x", "window_ms": 3_600_000, "grid_ms": 60_000}
WINDOWS = ViewPlan(
    name="w",
    entity="e",
    join_keys=("k",),
    source="s",
    columns={"x": "int64"},
    windows=(
        WindowFeature(name="x_count_1d", function="count", **DAY),
        WindowFeature(name="x_mean_1d", function="mean", **DAY),
        WindowFeature(name="x_mean_1h", function="mean", **HOUR),
    ),
)
ATTRIBUTES = ViewPlan(
    name="a",
    entity="e",
    join_keys=("k",),
    source="t",
    columns={"limit": "int64"},
    attributes=(AttributeFeature(name="limit", column="limit"),),
    ttl_ms=1,
)


def plan(*views: ViewPlan) -> Plan:
    vector = tuple(f"{view.name}:{name}" for view in views for name in view.feature_names)
    return Plan(service="v", views=views, transforms=(), request_fields=(), vector=vector)


def columns(mean: list[float], count: list[float], limit: list[float] = [1.0]):  # noqa: B006
    return {
        "w:x_count_1d": np.array(count),
        "w:x_mean_1d": np.array(mean),
        "w:x_mean_1h": np.full(len(mean), np.nan),
        "a:limit": np.array(limit),
    }


def test_a_window_may_be_null_where_nothing_was_counted():
    shares = checks.unexplained_null_shares(
        plan(WINDOWS), columns(mean=[np.nan, 2.0], count=[0.0, 1.0])
    )
    assert shares == {"w:x_mean_1d": 0.0}


def test_a_window_that_is_null_where_something_was_counted_is_unexplained():
    shares = checks.unexplained_null_shares(
        plan(WINDOWS), columns(mean=[np.nan, 2.0], count=[3.0, 1.0])
    )
    assert shares == {"w:x_mean_1d": 0.5}


def test_an_attribute_ought_to_be_there_everywhere():
    shares = checks.unexplained_null_shares(
        plan(ATTRIBUTES), columns(mean=[1.0], count=[1.0], limit=[np.nan, 1.0, 1.0, 1.0])
    )
    assert shares == {"a:limit": 0.25}


def test_a_plan_without_attributes_has_none_to_look_at():
    assert "a:limit" not in checks.unexplained_null_shares(plan(WINDOWS), columns([1.0], [1.0]))


def test_auc_agrees_with_the_definition_pair_by_pair():
    rng = np.random.default_rng(7)
    for _ in range(20):
        values = rng.integers(0, 6, size=40).astype(float)
        values[rng.random(40) < 0.2] = np.nan
        labels = rng.integers(0, 2, size=40)
        low = np.where(np.isnan(values), -np.inf, values)
        above = [(p > n) + 0.5 * (p == n) for p in low[labels == 1] for n in low[labels == 0]]
        area = float(np.mean(above))
        assert checks.single_feature_auc(values, labels) == pytest.approx(max(area, 1 - area))


def test_auc_does_not_care_which_way_or_how_far():
    rng = np.random.default_rng(8)
    values, labels = rng.normal(size=200), rng.integers(0, 2, size=200)
    auc = checks.single_feature_auc(values, labels)
    assert checks.single_feature_auc(-values, labels) == pytest.approx(auc)
    assert checks.single_feature_auc(np.exp(values), labels) == pytest.approx(auc)


@pytest.mark.parametrize("label", [0, 1])
def test_auc_of_one_class_is_refused(label):
    with pytest.raises(InvalidInputError, match="one class"):
        checks.single_feature_auc(np.array([1.0, 2.0]), np.full(2, label))


def test_constant_looks_at_nulls_too():
    found = checks.constant_columns(
        {
            "same": np.array([2.0, 2.0]),
            "null": np.array([np.nan, np.nan]),
            "half": np.array([2.0, np.nan]),
            "two": np.array([2.0, 3.0]),
        }
    )
    assert found == ("same", "null")


def test_unequal_is_after_the_cast_and_null_equals_null():
    ulp = np.float64(np.nextafter(np.float32(1.0), np.float32(2.0)))
    expected = np.array([1.0, 1.0, np.nan, np.nan])
    assert checks.unequal(expected, np.array([1.0 + 1e-9, ulp, np.nan, 0.0])) == 2


def test_nothing_expected_has_no_null_share():
    assert checks.null_share(np.array([np.nan]), np.array([False])) == 0.0
