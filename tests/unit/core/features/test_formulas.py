"""What can be told of a request-time function in steps, and what is left to numpy."""

from __future__ import annotations

import numpy as np
import pytest

from core.features.formulas import Step, formula_of
from use_cases.fraud import transforms as fraud


def of(function, *outputs):
    return formula_of(function, ["a", "b"], outputs or ["y"])


def test_a_function_is_told_in_the_order_of_its_declared_outputs():
    formula = of(lambda x: {"z": x["b"] - x["a"], "y": x["a"]}, "y", "z")
    assert formula.steps == (Step("input", (0,)), Step("input", (1,)), Step("subtract", (1, 0)))
    assert formula.outputs == (0, 2)


def test_the_same_step_is_taken_once():
    formula = of(lambda x: {"y": np.floor(x["a"] / 7) + np.floor(x["a"] / 7)})
    assert [step.operation for step in formula.steps].count("floor") == 1


def test_the_functions_of_fraud_are_told():
    names = ["amount_minor", "at_ms", "amount_minor_mean_30d", "limit_minor", "since_day"]
    for function, outputs in (
        (fraud.payment, ["amount", "is_weekend", "is_night", "amount_over_mean"]),
        (fraud.standing, ["card_age_days", "amount_over_limit"]),
    ):
        assert formula_of(function, names, outputs) is not None


def _changes_its_input(x):
    x["a"] += 1
    return {"y": x["a"]}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: {"y": np.log1p(x["a"])},
        lambda x: {"y": np.maximum(x["a"], x["b"])},
        lambda x: {"y": x["a"] ** 2},
        lambda x: {"y": x["a"] if x["a"] > 0 else x["b"]},
        lambda x: {"y": np.where(x["a"], 1.0, 0.0)},
        lambda x: {"y": np.cumsum(x["a"])},
        lambda x: {"y": np.add.accumulate(x["a"])},
        lambda x: {"y": np.full(len(x["a"]), 1.0)},
        lambda x: {"y": np.asarray(x["a"]) + 1},
        lambda x: {"y": np.array([value + 1 for value in x["a"]])},
        lambda x: {"y": np.floor(x["a"] > 0)},
        lambda x: {"y": (x["a"] > 0) + (x["b"] > 0)},
        lambda x: {"y": (x["a"] > 0) * 2},
        lambda x: {"y": np.where(x["a"] > 0, 1, 2) // 3},
        lambda x: {"y": x["a"] + np.float32(0.1)},
        lambda x: {"y": x["a"] + (2**53 + 1)},
        lambda x: {"y": x["a"] * -0.0},
        lambda x: {"y": x["a"] + np.ones(1)},
        lambda x: {"y": np.add(x["a"], 1, dtype=np.float32)},
        lambda x: {"y": 1.0},
        lambda x: {"z": x["a"]},
        lambda x: {"y": x["c"]},
        _changes_its_input,
    ],
)
def test_what_steps_cannot_tell_is_left_to_numpy(function):
    assert of(function) is None


def test_an_array_of_another_call_is_refused():
    kept = []

    def function(x):
        kept.append(x["a"])
        return {"y": kept[0]}

    assert of(function) is not None
    assert of(function) is None


def test_a_constant_that_is_not_a_number_is_one_step():
    formula = of(lambda x: {"y": np.where(x["a"] > x["b"], np.nan, np.float64("nan"))})
    assert [step.operation for step in formula.steps].count("constant") == 1
