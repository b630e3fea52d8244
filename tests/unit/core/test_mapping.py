from __future__ import annotations

import json
import math
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pytest
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from core.contracts import FieldSpec, Source
from core.errors import ConfigurationError
from core.mapping import Mapping, RowMapper, check_columns, check_target, read_mapping
from core.rows.conversions import CONVERSION_NAMES, conversion
from core.rows.field_checks import RefusedValue
from core.rows.row_parser import Violation

SOURCE = Source(
    name="payments",
    description="",
    owner="",
    fields=(
        FieldSpec(name="amount_minor", type="int64"),
        FieldSpec(name="country", type="string", is_nullable=True),
    ),
)
DOCUMENT: dict[str, Any] = {
    "source": "payments",
    "fields": {
        "event_id": {"from": "ID", "convert": ["to_text", {"prefix": "tx-"}]},
        "event_timestamp": {"from": "AT", "convert": ["parse_time", {"plus_delay": "7d"}]},
        "amount_minor": {"from": "AMOUNT", "convert": ["to_minor_units"]},
        "country": {"constant": "BE"},
    },
}


def converted(name, value, argument=None):
    """Result of one conversion, or the code of its refusal."""
    try:
        return conversion(name, argument)(value)
    except RefusedValue as refused:
        return refused.code


def test_row_is_renamed_converted_and_stripped_of_other_columns():
    mapper = RowMapper(read_mapping(DOCUMENT))
    row = mapper.apply({"ID": 7, "AT": "1970-01-01", "AMOUNT": 12.34, "NOISE": object()})
    assert row == {
        "event_id": "tx-7",
        "event_timestamp": 604_800_000,
        "amount_minor": 1_234,
        "country": "BE",
    }


def test_null_and_empty_are_left_to_the_contract():
    mapper = RowMapper(read_mapping(DOCUMENT))
    row = mapper.apply({"ID": None, "AT": "", "AMOUNT": None})
    assert row == {"event_id": None, "event_timestamp": None, "amount_minor": None, "country": "BE"}


def test_absent_column_leaves_its_field_out():
    assert "amount_minor" not in RowMapper(read_mapping(DOCUMENT)).apply({"ID": 1, "AT": 0})


def test_value_that_cannot_be_converted_is_a_violation_of_its_field():
    outcome = RowMapper(read_mapping(DOCUMENT)).apply({"ID": 1, "AT": 0, "AMOUNT": "12.345"})
    assert outcome == Violation("wrong_type", "amount_minor", "must have at most 2 decimals")


def test_mapping_survives_json():
    mapping = read_mapping(DOCUMENT)
    assert read_mapping(json.loads(json.dumps(mapping.document))) == mapping
    assert mapping.columns == ("ID", "AT", "AMOUNT")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.29, 29),
        (1.005, "wrong_type"),
        (99_999_999_999.99, 9_999_999_999_999),
        (0.1 + 0.2, 30),
        (57.16, 5_716),
        (np.float64(57.16), 5_716),
        (7, 700),
        ("57.16", 5_716),
        ("57.160", 5_716),
        ("1e2", 10_000),
        (Decimal("0.01"), 1),
        (-3.5, -350),
        (12.345, "wrong_type"),
        ("12.345", "wrong_type"),
        ("12,34", "wrong_type"),
        (True, "wrong_type"),
        (1e15, "out_of_range"),
        ("9" * 30, "out_of_range"),
        ("1e300", "out_of_range"),
        (math.nan, "not_finite"),
        ("inf", "not_finite"),
        (Decimal("NaN"), "not_finite"),
    ],
)
def test_minor_units_are_exact_or_refused(value, expected):
    assert converted("to_minor_units", value) == expected


@settings(max_examples=examples(300), deadline=None)
@given(minor=st.integers(-(10**13), 10**13), digits=st.integers(0, 3))
def test_minor_units_of_float_text_and_decimal_agree(minor, digits):
    amount = Decimal(minor).scaleb(-digits)
    for value in (amount, str(amount), float(amount)):
        assert converted("to_minor_units", value, digits) == minor


@pytest.mark.parametrize(
    ("name", "argument", "value", "expected"),
    [
        ("to_text", None, 7, "7"),
        ("to_text", None, 7.0, "7"),
        ("to_text", None, True, "true"),
        ("to_text", None, 7.5, "wrong_type"),
        ("to_text", None, math.inf, "not_finite"),
        ("to_int", None, "12", 12),
        ("to_number", None, "1.5", 1.5),
        ("to_bool", None, 1, True),
        ("to_bool", None, "No", False),
        ("to_bool", None, 2, "wrong_type"),
        ("parse_time", None, "1970-01-02T00:00:00Z", 86_400_000),
        ("parse_time", "%d.%m.%Y %H:%M", "02.01.1970 00:01", 86_460_000),
        ("parse_time", "%d.%m.%Y", "1970-01-02", "wrong_type"),
        ("parse_time", "%Y-%m-%d %z", "1970-01-02 +0100", 82_800_000),
        ("seconds_to_time", None, 1.001, 1_001),
        ("seconds_to_time", None, "-1", -1_000),
        ("seconds_to_time", None, 1e300, "out_of_range"),
        ("plus_delay", "1h", "1970-01-01", 3_600_000),
        ("plus_delay", "1h", "never", "wrong_type"),
        ("prefix", "card-", 7, "card-7"),
        ("strip", None, " a ", "a"),
        ("lower", None, "BE", "be"),
        ("upper", None, "be", "BE"),
        ("translate", {"Y": 1, "N": 0}, "N", 0),
        ("translate", {1: "one"}, 1, "one"),
        ("translate", {"Y": 1}, "?", "not_allowed"),
        ("translate", {"?": None}, "?", None),
    ],
)
def test_conversion(name, argument, value, expected):
    assert converted(name, value, argument) == expected


def test_translation_to_null_ends_the_conversions():
    document = {
        "source": "s",
        "fields": {"x": {"from": "X", "convert": [{"translate": {"?": None}}, "upper"]}},
    }
    assert RowMapper(read_mapping(document)).apply({"X": "?"}) == {"x": None}


ARGUMENTS = {"prefix": "a-", "plus_delay": "7d", "translate": {"a": 1}}
ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text(max_size=10)
    | st.binary(max_size=3)
    | st.lists(st.integers(), max_size=2)
    | st.sampled_from(["1e999", "\ud800", "0000-00-00", "9" * 500, Decimal("sNaN")])
)


@settings(max_examples=examples(300), deadline=None)
@given(value=ANYTHING)
@pytest.mark.parametrize("name", CONVERSION_NAMES)
def test_no_conversion_raises_on_any_value(name, value):
    assert isinstance(mapper_of(name).apply({"X": value}), dict | Violation)


@cache
def mapper_of(name):
    steps = [name if name not in ARGUMENTS else {name: ARGUMENTS[name]}]
    return RowMapper(
        read_mapping({"source": "s", "fields": {"x": {"from": "X", "convert": steps}}})
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fields": None}, "at fields"),
        ({"colour": "red"}, "at colour"),
        ({"fields": {"event_id": {}}}, "either `from` or `constant`"),
        ({"fields": {"event_id": {"from": "A", "constant": 1}}}, "either `from` or `constant`"),
        ({"fields": {"event_id": {"form": "A"}}}, "event_id.form"),
        ({"fields": {"x": {"from": "A", "convert": "to_text"}}}, "at fields.x.convert"),
        ({"fields": {"x": {"from": "A", "convert": ["to_txt"]}}}, "to_txt.*take one of.*to_text"),
        ({"fields": {"x": {"from": "A", "convert": ["prefix"]}}}, "argument of type str"),
        ({"fields": {"x": {"from": "A", "convert": [{"prefix": 1}]}}}, "argument of type str"),
        ({"fields": {"x": {"from": "A", "convert": [{"to_text": 1}]}}}, "no argument"),
        ({"fields": {"x": {"from": "A", "convert": [{"plus_delay": "7 days"}]}}}, "field x: a dur"),
        ({"fields": {"x": {"from": "A", "convert": [{"parse_time": "%Q"}]}}}, "time pattern"),
        ({"fields": {"x": {"from": "A", "convert": [{"to_minor_units": 9}]}}}, "0 to 6 digits"),
        ({"fields": {"x": {"from": "A", "convert": [{"to_minor_units": True}]}}}, "type int"),
        ({"fields": {"x": {"from": "A", "convert": [{"translate": {True: 1}}]}}}, "quote the key"),
        ({"fields": {"x": {"from": "A", "convert": [{"prefix": "a", "upper": 1}]}}}, "2 entries"),
    ],
)
def test_mapping_that_is_not_well_formed_is_refused(change, message):
    with pytest.raises(ConfigurationError, match=message):
        read_mapping(DOCUMENT | change)


@pytest.mark.parametrize("document", [None, [], "text", 7, {}, {"source": "s"}])
def test_document_of_another_shape_is_refused(document):
    with pytest.raises(ConfigurationError, match="not well formed"):
        read_mapping(document)


def mapping_without(*names: str, **more) -> Mapping:
    fields = {k: v for k, v in DOCUMENT["fields"].items() if k not in names} | more
    return read_mapping(DOCUMENT | {"fields": fields})


def test_target_is_checked_both_ways():
    check_target(read_mapping(DOCUMENT), SOURCE)
    check_target(mapping_without("country"), SOURCE)
    with pytest.raises(ConfigurationError, match=r"left out amount_minor, event_id"):
        check_target(mapping_without("event_id", "amount_minor"), SOURCE)
    with pytest.raises(ConfigurationError, match="unknown fields colour"):
        check_target(mapping_without(colour={"constant": "red"}), SOURCE)
    with pytest.raises(ConfigurationError, match="not for source payments"):
        check_target(read_mapping(DOCUMENT | {"source": "labels"}), SOURCE)


def test_missing_column_is_named_with_those_that_are_there():
    check_columns(read_mapping(DOCUMENT), ["ID", "AT", "AMOUNT", "MORE"])
    with pytest.raises(ConfigurationError, match="lacks: AMOUNT; found a file with ID, AT,"):
        check_columns(read_mapping(DOCUMENT), ["ID", "AT", "Amount"])
