"""A column that is taken at once is one of which each value is taken as it stands."""

from __future__ import annotations

import math
from typing import Any

import pytest
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from core.contracts import FieldSpec
from core.rows.column_checks import column_check_of
from core.rows.field_checks import RefusedValue, check_of

SPECS = [
    FieldSpec(name="x", type="int64"),
    FieldSpec(name="x", type="int64", minimum=-2.5, maximum=9),
    FieldSpec(name="x", type="float64", minimum=-1, maximum=1e9),
    FieldSpec(name="x", type="string", max_length=4),
    FieldSpec(name="x", type="string", pattern="[a-c_]+", max_length=3),
    FieldSpec(name="x", type="string", pattern="a(?:b|c)*"),
    FieldSpec(name="x", type="string", allowed=("ab", "b")),
    FieldSpec(name="x", type="bool"),
    FieldSpec(name="x", type="timestamp"),
]
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([0, 1, -3, 9, 10, 2**63, 0.0, -0.0, 0.5, -2.0, 1e10, math.nan, math.inf]),
    st.sampled_from(["", "a", "ab", "abc", "abcb", "c_", "a b", "\0", "é", "\ud800", "1", "true"]),
    st.sampled_from([None, True, False, [], {}, -62_135_596_800_001]),
    st.text(max_size=5),
)


@pytest.mark.parametrize("spec", SPECS, ids=range(len(SPECS)))
@settings(max_examples=examples(150), deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_a_column_that_is_taken_has_values_that_are_taken_as_they_stand(spec, column):
    if column_check_of(spec)(column):
        for value in column:
            assert value is not None
            assert repr(check_of(spec)(value)) == repr(value)


@pytest.mark.parametrize(
    ("spec", "column"),
    [
        (SPECS[0], [0, -(2**63), 2**63 - 1]),
        (SPECS[1], [-2, 9]),
        (SPECS[2], [-1.0, 0.5, 1e9]),
        (SPECS[3], ["a", "b c", "abcd"]),
        (SPECS[4], ["a", "c_b"]),
        (SPECS[5], ["a", "abcb"]),
        (SPECS[6], ["b", "ab"]),
        (SPECS[7], [True, False]),
        (SPECS[8], [0, 253_402_300_799_999]),
    ],
)
def test_a_column_in_order_is_taken(spec, column):
    assert column_check_of(spec)(column)
    refused: tuple[Any, ...] = ([], None, "a b c d e", 2**64, -1e300, math.nan)
    for value in refused:
        assert not column_check_of(spec)([*column, value])
        with pytest.raises(RefusedValue):
            _taken_as_it_stands(spec, value)


def _taken_as_it_stands(spec, value):
    if value is None or check_of(spec)(value) is not value:
        raise RefusedValue("other", "it becomes another value")
