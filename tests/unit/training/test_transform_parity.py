"""The sixth bad conversion: a request-time function that is not the one trained with."""

import numpy as np
import pytest
import training_sets
from training_sets import small_plan

from core.errors import IntegrityError
from training.transform_parity import N_CASES, require_same_transforms, transform_cases

PLAN = small_plan()
RANGES = {
    "request:amount_minor": (1.0, 1_000_000.0),
    "card_activity_v1:amount_mean_7d": (1.0, 50_000.0),
}


def test_the_same_function_answers_every_case():
    cases = transform_cases(PLAN, RANGES, 1)
    assert require_same_transforms(PLAN, cases) == N_CASES
    assert any(v is None for v in cases.inputs["request:amount_minor"])
    known = [v for v in cases.inputs["request:amount_minor"] if v is not None]
    assert 1 <= min(known) <= max(known) <= 1_000_000


def test_cases_survive_json():
    cases = transform_cases(PLAN, RANGES, 1)
    assert type(cases).model_validate_json(cases.model_dump_json()) == cases


def test_code_of_another_digest_is_refused():
    cases = transform_cases(PLAN, RANGES, 1)
    changed = PLAN.transforms[0].model_copy(update={"source_digest": "0" * 64})
    with pytest.raises(IntegrityError) as caught:
        require_same_transforms(PLAN.model_copy(update={"transforms": (changed,)}), cases)
    assert caught.value.code == "transform_changed"


def test_other_values_are_refused_and_counted():
    cases = transform_cases(PLAN, RANGES, 1)
    name = "payment_size:amount_over_mean"
    column = list(cases.outputs[name])
    touched = next(i for i, value in enumerate(column) if value is not None)
    column[touched] = float(np.nextafter(np.float32(column[touched]), np.float32(np.inf)))
    stale = cases.model_copy(update={"outputs": {**cases.outputs, name: tuple(column)}})
    with pytest.raises(IntegrityError, match=f"1 of {N_CASES} values of {name}"):
        require_same_transforms(PLAN, stale)


def test_a_null_that_became_a_value_is_refused():
    cases = transform_cases(PLAN, RANGES, 1)
    name = "payment_size:amount"
    filled = tuple(0.0 if value is None else value for value in cases.outputs[name])
    stale = cases.model_copy(update={"outputs": {**cases.outputs, name: filled}})
    with pytest.raises(IntegrityError, match=name):
        require_same_transforms(PLAN, stale)


def test_an_output_that_is_gone_is_refused():
    cases = transform_cases(PLAN, RANGES, 1)
    stale = cases.model_copy(update={"outputs": {**cases.outputs, "payment_size:more": ()}})
    with pytest.raises(IntegrityError, match="payment_size:more"):
        require_same_transforms(PLAN, stale)


def test_a_plan_without_transforms_has_nothing_to_compare():
    bare = PLAN.model_copy(update={"transforms": ()})
    assert require_same_transforms(bare, transform_cases(bare, RANGES, 1)) == 0


def test_the_function_of_the_cases_is_the_declared_one():
    cases = transform_cases(PLAN, RANGES, 1)
    inputs = {
        name.rpartition(":")[2]: np.asarray([np.nan if v is None else v for v in column])
        for name, column in cases.inputs.items()
    }
    direct = training_sets.payment_size(inputs)["amount"]
    kept = [np.nan if v is None else v for v in cases.outputs["payment_size:amount"]]
    np.testing.assert_array_equal(direct, kept)
