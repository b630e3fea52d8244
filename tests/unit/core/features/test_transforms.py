"""Request-time functions: loaded by reference, held to their digest and their outputs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from core.errors import ConfigurationError, IntegrityError, InvalidInputError
from core.features.plan import Plan, TransformPlan
from core.features.purity import function_digest
from core.features.transforms import apply_transforms, call, from_lists, load_transform, resolve
from use_cases.fraud import transforms as fraud

PAYMENT = TransformPlan(
    name="payment_v1",
    reference="use_cases.fraud.transforms:payment",
    source_digest=function_digest(fraud.payment),
    inputs=("at_ms", "card_activity_v1:amount_minor_mean_30d", "request:amount_minor"),
    outputs=("amount", "is_weekend", "is_night", "amount_over_mean"),
)
PLAN = Plan(service="s_v1", views=(), transforms=(PAYMENT,), request_fields=(), vector=())


def values(**changed):
    given = {
        "at_ms": np.array([0.0, 86_400_000.0 * 2]),
        "card_activity_v1:amount_minor_mean_30d": np.array([200.0, np.nan]),
        "request:amount_minor": np.array([100.0, 50.0]),
    }
    return {**given, **changed}


def test_outputs_are_qualified_by_the_transforms_name():
    outputs = apply_transforms(PLAN, values())
    assert set(outputs) == {f"payment_v1:{name}" for name in PAYMENT.outputs}
    np.testing.assert_array_equal(outputs["payment_v1:amount_over_mean"], [0.5, np.nan])


def test_an_edited_function_is_refused():
    edited = PAYMENT.model_copy(update={"source_digest": "0" * 64})
    with pytest.raises(IntegrityError, match="is not what the plan was compiled from") as error:
        load_transform(edited)
    assert error.value.code == "transform_changed"


@pytest.mark.parametrize(
    "reference", ["use_cases.fraud.transforms:nothing", "no_such_package.transforms:f", "", "a:"]
)
def test_a_reference_that_leads_nowhere_is_refused(reference):
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        resolve(reference)


def test_a_reference_to_something_else_is_refused():
    with pytest.raises(ConfigurationError, match="is not a function"):
        resolve("use_cases.fraud.transforms:DAY_MS")


def test_a_missing_input_is_refused_by_name():
    given = values()
    del given["request:amount_minor"]
    with pytest.raises(InvalidInputError, match="request:amount_minor"):
        apply_transforms(PLAN, given)


def test_infinities_and_undefined_values_are_null():
    outputs = call(
        lambda x: {"y": x["a"] / x["b"]},
        {"a": np.array([1.0, 0.0, -1.0]), "b": np.zeros(3)},
        ["y"],
        "m:f",
    )
    assert np.isnan(outputs["y"]).all()


@pytest.mark.parametrize("returned", [{}, {"y": [1.0], "z": [1.0]}, {"y": [1.0, 2.0]}, {"y": 1.0}])
def test_other_outputs_than_declared_are_refused(returned):
    with pytest.raises(ConfigurationError):
        call(lambda _: returned, {"a": np.zeros(1)}, ["y"], "m:f")


def test_lists_and_arrays_give_the_same_values():
    lists: dict[str, list[Any]] = {
        "amount_minor": [100.0, 50.0],
        "amount_minor_mean_30d": [200.0, None],
        "card_activity_v1__amount_minor_mean_30d": [200.0, None],
        "event_timestamp": [datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 3)],
    }
    by_lists = from_lists(PAYMENT)(lists)
    by_arrays = apply_transforms(PLAN, values())
    for name in PAYMENT.outputs:
        assert all(isinstance(value, float) for value in by_lists[name])
        np.testing.assert_array_equal(by_lists[name], by_arrays[f"payment_v1:{name}"])


def test_without_an_instant_what_depends_on_time_is_null():
    outputs = from_lists(PAYMENT)({"amount_minor": [1], "amount_minor_mean_30d": [2]})
    assert np.isnan(outputs["is_night"]).all()
    assert outputs["amount_over_mean"] == [0.5]


def test_instants_of_feast_are_cut_down_to_milliseconds_like_all_others():
    from datetime import UTC, datetime

    from core.features.transforms import _instant_ms

    assert _instant_ms(datetime(1970, 1, 1, 0, 0, 0, 1_900, tzinfo=UTC)) == 1.0
    assert _instant_ms(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1.0
