from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.contracts import FieldSpec, Source, check_declaration
from core.errors import ConfigurationError
from core.row_parser import ParsedRow, RowParser, Violation, raw_text

NOW_MS = 1_700_000_000_000

FIELDS = (
    FieldSpec(name="amount", type="int64", minimum=0, maximum=1_000),
    FieldSpec(name="rate", type="float64", minimum=-1.5, maximum=2.5),
    FieldSpec(name="card_id", type="string", max_length=8, pattern=r"[a-z0-9-]+"),
    FieldSpec(name="country", type="string", allowed=("BE", "NL"), is_nullable=True),
    FieldSpec(name="is_online", type="bool"),
    FieldSpec(name="seen_at", type="timestamp", is_nullable=True),
)
SOURCE = Source(name="payments", description="", owner="", fields=FIELDS)
PARSER = RowParser(SOURCE)
GOOD = {
    "event_id": "e1",
    "event_timestamp": NOW_MS,
    "amount": 5,
    "rate": 0.5,
    "card_id": "card-1",
    "country": "BE",
    "is_online": True,
    "seen_at": 0,
}


def one_field(value, spec: FieldSpec):
    """Outcome of one value of one field: the parsed value, or the code of the refusal."""
    parser = RowParser(Source(name="s", description="", owner="", fields=(spec,)))
    parsed = parser.parse({"event_id": "e", "event_timestamp": 0, spec.name: value})
    return parsed.code if isinstance(parsed, Violation) else parsed.values[0]


def of_type(value, kind):
    return one_field(value, FieldSpec(name="x", type=kind))


def test_good_row_is_parsed_in_declared_order():
    parsed = PARSER.parse(dict(reversed(GOOD.items())))
    assert parsed.event_id == "e1"
    assert parsed.event_ms == NOW_MS
    assert parsed.values == (5, 0.5, "card-1", "BE", True, 0)


def test_typed_text_and_json_rows_parse_to_the_same_row():
    typed = {
        "event_id": np.str_("e1"),
        "event_timestamp": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        "amount": np.int32(5),
        "rate": Decimal("0.5"),
        "card_id": "card-1",
        "country": "BE",
        "is_online": np.bool_(True),
        "seen_at": np.datetime64("1970-01-01"),
    }
    text = {
        "event_id": "e1",
        "event_timestamp": "2023-11-14T22:13:20",
        "amount": "5",
        "rate": "5e-1",
        "card_id": "card-1",
        "country": "BE",
        "is_online": "TRUE",
        "seen_at": "1970-01-01",
    }
    assert PARSER.parse(typed) == PARSER.parse(text) == PARSER.parse(GOOD)


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


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"amount": -1}, "out_of_range", "amount"),
        ({"amount": 1_001}, "out_of_range", "amount"),
        ({"rate": 2.51}, "out_of_range", "rate"),
        ({"card_id": "card-12345"}, "too_long", "card_id"),
        ({"card_id": "CARD"}, "pattern", "card_id"),
        ({"card_id": "a\n"}, "pattern", "card_id"),
        ({"country": "FR"}, "not_allowed", "country"),
        ({"event_id": 7}, "wrong_type", "event_id"),
        ({"event_id": ""}, "null_field", "event_id"),
        ({"event_id": "x" * 257}, "too_long", "event_id"),
        ({"event_timestamp": None}, "null_field", "event_timestamp"),
        ({"event_timestamp": "soon"}, "wrong_type", "event_timestamp"),
        ({"colour": "red"}, "unknown_field", "colour"),
        ({"Anna Karenina": 1}, "unknown_field", ""),
        ({"position": 1}, "unknown_field", "position"),
    ],
)
def test_row_that_breaks_the_contract_is_a_violation(change, code, field):
    violation = PARSER.parse(GOOD | change)
    assert isinstance(violation, Violation)
    assert (violation.code, violation.field) == (code, field)


@pytest.mark.parametrize("name", ["event_id", "event_timestamp", "amount", "is_online"])
def test_absent_field_is_missing_and_null_field_is_null(name):
    absent = {key: value for key, value in GOOD.items() if key != name}
    assert PARSER.parse(absent) == Violation("missing_field", name, "must be there")
    assert PARSER.parse(GOOD | {name: None}).code == "null_field"


@pytest.mark.parametrize("value", [None, ""])
def test_nullable_field_takes_null_empty_and_absent(value):
    absent = {key: v for key, v in GOOD.items() if key not in ("country", "seen_at")}
    parsed = PARSER.parse(GOOD | {"country": value, "seen_at": value})
    assert parsed.values == (5, 0.5, "card-1", None, True, None)
    assert PARSER.parse(absent) == parsed


@pytest.mark.parametrize("raw", [None, 7, "text", [GOOD], b"{}"])
def test_what_is_no_object_is_malformed(raw):
    assert PARSER.parse(raw).code == "malformed"


def test_future_row_is_refused_beyond_five_minutes():
    edge = GOOD | {"event_timestamp": NOW_MS + 300_000}
    beyond = GOOD | {"event_timestamp": NOW_MS + 300_001}
    assert isinstance(PARSER.parse(edge, now_ms=NOW_MS), ParsedRow)
    assert PARSER.parse(beyond, now_ms=NOW_MS).code == "future_event"
    assert isinstance(PARSER.parse(beyond), ParsedRow)


def test_messages_never_echo_a_value():
    secret = "marlowe-secret"
    for name in GOOD:
        for value in (secret, secret + "\0", [secret], {"a": secret}, secret * 100):
            outcome = PARSER.parse(GOOD | {name: value})
            if isinstance(outcome, Violation):
                assert "marlowe" not in outcome.message
    assert "marlowe" not in "".join(PARSER.parse(GOOD | {f"{secret} {secret}": 1}))


def test_payload_digest_tells_payloads_apart_and_ignores_the_id():
    digest = PARSER.parse(GOOD).payload_digest
    assert PARSER.parse(GOOD | {"event_id": "e2"}).payload_digest == digest
    changes = [{"amount": 6}, {"rate": 0.25}, {"country": None}, {"event_timestamp": 0}]
    digests = {PARSER.parse(GOOD | change).payload_digest for change in changes}
    assert len(digests) == len(changes)
    assert digest not in digests
    assert len(digest) == 32


def test_payload_digest_survives_a_new_nullable_field_and_another_order():
    grown = SOURCE.model_copy(
        update={"fields": (FieldSpec(name="note", type="string", is_nullable=True), *FIELDS[::-1])}
    )
    digest = PARSER.parse(GOOD).payload_digest
    assert RowParser(grown).parse(GOOD).payload_digest == digest
    assert RowParser(grown).parse(GOOD | {"note": "x"}).payload_digest != digest


def test_payload_digest_does_not_mix_neighbouring_texts():
    fields = tuple(FieldSpec(name=name, type="string", is_nullable=True) for name in "ab")
    parser = RowParser(Source(name="s", description="", owner="", fields=fields))
    rows = [{"a": "x\nb=1:y"}, {"a": "x", "b": "y"}, {"a": "x\nb", "b": "y"}, {"b": "x"}]
    base = {"event_id": "e", "event_timestamp": 0}
    assert len({parser.parse(base | row).payload_digest for row in rows}) == len(rows)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["", "1e999", "\ud800", "2023-01-01", "NaN", "9" * 400, "BE"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=500, deadline=None)
@given(changes=st.dictionaries(st.sampled_from([*GOOD, "other", "\ud800"]), JSON_VALUES))
def test_parse_never_raises_on_json_and_accepted_rows_parse_to_themselves(changes):
    raw = GOOD | changes
    outcome = PARSER.parse(raw, now_ms=NOW_MS)
    assert isinstance(json.loads(raw_text(raw)), dict)
    if isinstance(outcome, ParsedRow):
        again = dict(zip(PARSER.names, outcome.values, strict=True))
        again |= {"event_id": outcome.event_id, "event_timestamp": outcome.event_ms}
        assert PARSER.parse(again) == outcome


@settings(max_examples=200, deadline=None)
@given(raw=JSON_VALUES)
def test_parse_never_raises_on_any_json(raw):
    assert isinstance(PARSER.parse(raw), Violation)


@settings(max_examples=200, deadline=None)
@given(row=st.fixed_dictionaries({"amount": st.integers(0, 1_000), "rate": st.floats(-1.5, 2.5)}))
def test_row_survives_json_and_text(row):
    parsed = PARSER.parse(GOOD | row)
    assert PARSER.parse(json.loads(json.dumps(GOOD | row))) == parsed
    assert PARSER.parse(GOOD | {name: repr(value) for name, value in row.items()}) == parsed


@pytest.mark.parametrize("raw", [{"a": b"\xff"}, {"a": {1, 2}}, {(1, 2): 3}, "\ud800", [math.nan]])
def test_raw_text_never_raises_and_is_storable(raw):
    text = raw_text(raw)
    text.encode()
    json.loads(text)


def test_raw_text_survives_what_contains_itself():
    loop: dict[str, object] = {}
    loop["self"] = loop
    json.loads(raw_text(loop))


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "position", "type": "int64"},
        {"name": "event_id", "type": "string"},
        {"name": "No Name", "type": "string"},
        {"name": "x", "type": "string", "pattern": "("},
        {"name": "x", "type": "string", "minimum": 1},
        {"name": "x", "type": "bool", "maximum": 1},
        {"name": "x", "type": "int64", "pattern": "a"},
        {"name": "x", "type": "int64", "allowed": ("1",)},
        {"name": "x", "type": "int64", "minimum": 2, "maximum": 1},
        {"name": "x", "type": "float64", "minimum": math.nan},
        {"name": "x", "type": "int64", "maximum": math.inf},
        {"name": "x", "type": "string", "max_length": 0},
    ],
)
def test_contract_that_contradicts_itself_is_refused(spec):
    source = Source(name="s", description="", owner="", fields=(FieldSpec(**spec),))
    with pytest.raises(ConfigurationError, match=r"source s declares field .* wrongly"):
        RowParser(source)


def test_field_declared_twice_is_refused():
    twice = Source(name="s", description="", owner="", fields=(FIELDS[0], FIELDS[0]))
    with pytest.raises(ConfigurationError, match="twice"):
        check_declaration(twice)


def test_bounds_of_a_timestamp_are_epoch_milliseconds():
    spec = FieldSpec(name="x", type="timestamp", minimum=0)
    assert one_field(0, spec) == 0
    assert one_field("1969-12-31T23:59:59.999Z", spec) == "out_of_range"
