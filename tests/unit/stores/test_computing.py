"""Compiled request-time functions against numpy's own answers, bit by bit."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import request_functions
from compiled_merge import built
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from core.features.formulas import OPERATIONS
from core.features.plan import Plan, RequestField, TransformPlan
from core.features.purity import function_digest
from core.features.transforms import apply_transforms
from core.features.value_table import ValueLayout, ValueTable
from core.features.vector import vector_of
from stores import computing
from stores.computing import Computing

NAMES = ("a", "b", "c")
FIELDS = tuple(f"request:{name}" for name in NAMES)
TOLD = ("arithmetic", "rounding", "comparisons", "choices", "shares")
NUMBERS = st.floats(width=64) | st.sampled_from([0.0, -0.0, 1.0, -2.5, 7.0, 86_400_000.0])
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=5)


def plan_of(*names: str) -> Plan:
    transforms = []
    for name in names:
        function = getattr(request_functions, name)
        transforms.append(
            TransformPlan(
                name=f"{name}_v1",
                reference=f"request_functions:{name}",
                source_digest=function_digest(function),
                inputs=FIELDS,
                outputs=tuple(function({each: np.ones(1) for each in NAMES})),
            )
        )
    made = [f"{each.name}:{output}" for each in transforms for output in each.outputs]
    return Plan(
        service="s",
        views=(),
        transforms=tuple(transforms),
        request_fields=tuple(RequestField(name=name, type="float64") for name in NAMES),
        vector=(*made[::-1], *FIELDS),
    )


PLAN = plan_of(*TOLD, "loudness")
LAYOUT = ValueLayout(PLAN)


def table_of(rows) -> ValueTable:
    table = ValueTable(LAYOUT, len(rows))
    table.put(dict(zip(FIELDS, np.array(rows).T, strict=True)))
    return table


def numpys(rows) -> tuple[bytes, bytes]:
    table = table_of(rows)
    table.put(apply_transforms(PLAN, table))
    return vector_of(PLAN, table).tobytes(), table.array.tobytes()


def ours(made: Computing, rows) -> tuple[bytes, bytes]:
    table = table_of(rows)
    return made.vectors(table).tobytes(), table.array.tobytes()


@cache
def compiled() -> Computing:
    return Computing(LAYOUT, built())


def test_every_operation_is_among_those_that_are_tried():
    outputs = {name for each in PLAN.transforms for name in each.outputs}
    assert set(OPERATIONS) - outputs == {"input", "constant", "output"}


def test_only_what_cannot_be_told_is_left_to_numpy():
    assert compiled().compiled == tuple(f"{name}_v1" for name in TOLD)


def test_a_machine_without_a_compiler_computes_the_same():
    rows = [(1.5, -2.0, np.nan), (np.inf, 0.0, 1e300)]
    plain = Computing(LAYOUT, None)
    assert plain.compiled == ()
    assert ours(plain, rows) == numpys(rows)


@settings(max_examples=examples(400))
@given(ROWS)
def test_compiled_functions_make_the_bits_that_numpy_makes(rows):
    assert ours(compiled(), rows) == numpys(rows)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(b < 0) != (rest < 0) ? rest + b : rest", "rest"),
        ("isfinite(found) ? found : NAN", "found"),
        ("if (found < -3.4", "if (found < -3.5"),
        ("case GREATER_EQUAL: return a >= b", "case GREATER_EQUAL: return !(a < b)"),
    ],
)
def test_a_library_that_makes_other_bits_is_not_used(old, new):
    assert Computing(LAYOUT, built(old, new)).compiled == ()


def test_more_steps_than_compiled_code_holds_are_left_to_numpy(monkeypatch):
    monkeypatch.setattr(computing, "MAX_STEPS", 40)
    made = Computing(LAYOUT, built())
    assert made.compiled == ("arithmetic_v1", "rounding_v1")
    assert ours(made, [(1.0, 2.0, 3.0)]) == numpys([(1.0, 2.0, 3.0)])
