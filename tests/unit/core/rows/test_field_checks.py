from __future__ import annotations

import json
import math
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from core.contracts import FieldSpec, Source
from core.rows.field_checks import RefusedValue, check_of
from core.rows.row_parser import RowParser, Violation


def one_field(value, spec: FieldSpec):
    """Outcome of one value of one field: the parsed value, or the code of the refusal."""
    parser = RowParser(Source(name="s", description="", owner="", fields=(spec,)))
    parsed = parser.parse({"event_id": "e", "event_timestamp": 0, spec.name: value})
    return parsed.code if isinstance(parsed, Violation) else parsed.values[0]


def of_type(value, kind):
    return one_field(value, FieldSpec(name="x", type=kind))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, 7),
        ("7", 7),
        ("-7", -7),
        (7.0, 7),
        (np.float64(7.0), 7),
        (np.uint64(7), 7),
        (Decimal("7.00"), 7),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, "out_of_range"),
        (np.uint64(2**63), "out_of_range"),
        ("9223372036854775808", "out_of_range"),
        (1e300, "out_of_range"),
        (Decimal("1e999999"), "out_of_range"),
        (True, "wrong_type"),
        (np.bool_(True), "wrong_type"),
        ("true", "wrong_type"),
        (7.5, "wrong_type"),
        ("7.0", "wrong_type"),
        (" 7", "wrong_type"),
        ("7_0", "wrong_type"),
        ("\u0667", "wrong_type"),
        ("9" * 5_000, "wrong_type"),
        (b"7", "wrong_type"),
        ([7], "wrong_type"),
        (math.nan, "not_finite"),
        (math.inf, "not_finite"),
        (Decimal("NaN"), "not_finite"),
        (Decimal("sNaN"), "not_finite"),
        ("", "null_field"),
        (None, "null_field"),
        (np.str_(""), "wrong_type"),
    ],
)
def test_int64_takes_whole_numbers_only(value, expected):
    assert of_type(value, "int64") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.5, 1.5),
        (3, 3.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-1.", -1.0),
        ("1e3", 1000.0),
        (np.float32(0.5), 0.5),
        (Decimal("2.25"), 2.25),
        (math.nan, "not_finite"),
        (-math.inf, "not_finite"),
        ("NaN", "not_finite"),
        ("-Infinity", "not_finite"),
        ("1e999", "not_finite"),
        (json.loads("1e999"), "not_finite"),
        (10**400, "not_finite"),
        (Decimal("1e999"), "not_finite"),
        (Decimal("sNaN"), "not_finite"),
        (False, "wrong_type"),
        ("1,5", "wrong_type"),
        ("0x10", "wrong_type"),
        ("1" * 401, "wrong_type"),
        ({}, "wrong_type"),
    ],
)
def test_float64_takes_finite_numbers_only(value, expected):
    assert of_type(value, "float64") == expected


def test_negative_zero_is_zero():
    assert math.copysign(1.0, of_type(-0.0, "float64")) == 1.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("é", "é"),
        (np.str_("a"), "a"),
        ("", "null_field"),
        (np.str_(""), "null_field"),
        ("\ud800", "wrong_type"),
        ("a\udcffb", "wrong_type"),
        ("a\0b", "wrong_type"),
        (7, "wrong_type"),
        (b"a", "wrong_type"),
        (["a"], "wrong_type"),
        ("x" * 256, "x" * 256),
        ("x" * 257, "too_long"),
    ],
)
def test_string_takes_storable_text_only(value, expected):
    assert of_type(value, "string") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        ("false", False),
        (np.bool_(False), False),
        (1, "wrong_type"),
        ("yes", "wrong_type"),
        (None, "null_field"),
    ],
)
def test_bool_takes_booleans_only(value, expected):
    found = of_type(value, "bool")
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (-1, -1),
        ("1700000000000", 1_700_000_000_000),
        ("1970-01-01", 0),
        ("1970-01-01T00:00:01", 1_000),
        ("1970-01-01 00:00:01.5Z", 1_500),
        ("1970-01-01T00:00:00.0019", 1),
        ("1969-12-31T23:59:59.9999", -1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00-0030", 1_800_000),
        (datetime(1970, 1, 1), 0),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
        (date(1970, 1, 2), 86_400_000),
        (pd.Timestamp("1970-01-01T00:00:00.001"), 1),
        (np.datetime64("1969-12-31T23:59:59.9999", "ns"), -1),
        (1000.0, 1_000),
        (pd.NaT, "wrong_type"),
        (np.datetime64("NaT"), "out_of_range"),
        (datetime.max, 253_402_300_799_999),
        ("0001-01-01T00:00:00+14:00", "out_of_range"),
        (2**62, "out_of_range"),
        ("2023-02-30", "wrong_type"),
        ("2023-01-01T24:00:01", "wrong_type"),
        ("20230101T000000Z", "wrong_type"),
        ("yesterday", "wrong_type"),
        ("2023-01-01T00:00:00+99:99", "wrong_type"),
        (True, "wrong_type"),
        (1.5, "wrong_type"),
        (math.nan, "not_finite"),
    ],
)
def test_timestamp_takes_instants_only(value, expected):
    assert of_type(value, "timestamp") == expected


def test_bounds_of_a_timestamp_are_epoch_milliseconds():
    spec = FieldSpec(name="x", type="timestamp", minimum=0)
    assert one_field(0, spec) == 0
    assert one_field("1969-12-31T23:59:59.999Z", spec) == "out_of_range"


@settings(max_examples=examples(300), deadline=None)
@given(
    st.sampled_from(["[A-Za-z0-9_.:-]+", "[a-c]+", "[-a]+", "[0-9.:]+"]),
    st.text(st.sampled_from("abcdZ09_.:-^] \n\0é") | st.characters(), max_size=9)
    | st.integers()
    | st.booleans(),
    st.integers(1, 8),
)
def test_a_pattern_of_one_class_is_held_as_a_match_holds_it(pattern, value, max_length):
    quick = FieldSpec(name="x", type="string", pattern=pattern, max_length=max_length)
    whole = quick.model_copy(update={"pattern": f"(?:{pattern})"})  # no class alone: it is matched
    assert _said(quick, value) == _said(whole, value)


def _said(spec, value):
    try:
        return check_of(spec)(value)
    except RefusedValue as refused:
        return refused.code, refused.message
