from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from core.contracts import FieldSpec, Source
from core.rows.row_parser import ParsedRow, RowParser, Violation, raw_text

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


def row_of(raw, parser=PARSER) -> ParsedRow:
    outcome = parser.parse(raw)
    assert isinstance(outcome, ParsedRow)
    return outcome


def refusal_of(raw, now_ms=None) -> Violation:
    outcome = PARSER.parse(raw, now_ms=now_ms)
    assert isinstance(outcome, Violation)
    return outcome


def test_good_row_is_parsed_in_declared_order():
    parsed = row_of(dict(reversed(GOOD.items())))
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
    assert refusal_of(GOOD | {name: None}).code == "null_field"


@pytest.mark.parametrize("value", [None, ""])
def test_nullable_field_takes_null_empty_and_absent(value):
    absent = {key: v for key, v in GOOD.items() if key not in ("country", "seen_at")}
    parsed = row_of(GOOD | {"country": value, "seen_at": value})
    assert parsed.values == (5, 0.5, "card-1", None, True, None)
    assert PARSER.parse(absent) == parsed


@pytest.mark.parametrize("raw", [None, 7, "text", [GOOD], b"{}"])
def test_what_is_no_object_is_malformed(raw):
    assert refusal_of(raw).code == "malformed"


def test_future_row_is_refused_beyond_five_minutes():
    edge = GOOD | {"event_timestamp": NOW_MS + 300_000}
    beyond = GOOD | {"event_timestamp": NOW_MS + 300_001}
    assert isinstance(PARSER.parse(edge, now_ms=NOW_MS), ParsedRow)
    assert refusal_of(beyond, now_ms=NOW_MS).code == "future_event"
    assert isinstance(PARSER.parse(beyond), ParsedRow)


def test_messages_never_echo_a_value():
    secret = "marlowe-secret"
    for name in GOOD:
        for value in (secret, secret + "\0", [secret], {"a": secret}, secret * 100):
            outcome = PARSER.parse(GOOD | {name: value})
            if isinstance(outcome, Violation):
                assert "marlowe" not in outcome.message
    assert "marlowe" not in "".join(refusal_of(GOOD | {f"{secret} {secret}": 1}))


def test_payload_digest_tells_payloads_apart_and_ignores_the_id():
    digest = row_of(GOOD).payload_digest
    assert row_of(GOOD | {"event_id": "e2"}).payload_digest == digest
    changes: list[dict[str, object]] = [
        {"amount": 6},
        {"rate": 0.25},
        {"country": None},
        {"event_timestamp": 0},
    ]
    digests = {row_of(GOOD | change).payload_digest for change in changes}
    assert len(digests) == len(changes)
    assert digest not in digests
    assert len(digest) == 32


def test_payload_digest_survives_a_new_nullable_field_and_another_order():
    grown = SOURCE.model_copy(
        update={"fields": (FieldSpec(name="note", type="string", is_nullable=True), *FIELDS[::-1])}
    )
    digest = row_of(GOOD).payload_digest
    assert row_of(GOOD, RowParser(grown)).payload_digest == digest
    assert row_of(GOOD | {"note": "x"}, RowParser(grown)).payload_digest != digest


def test_payload_digest_does_not_mix_neighbouring_texts():
    fields = tuple(FieldSpec(name=name, type="string", is_nullable=True) for name in "ab")
    parser = RowParser(Source(name="s", description="", owner="", fields=fields))
    rows = [{"a": "x\nb=1:y"}, {"a": "x", "b": "y"}, {"a": "x\nb", "b": "y"}, {"b": "x"}]
    base = {"event_id": "e", "event_timestamp": 0}
    assert len({row_of(base | row, parser).payload_digest for row in rows}) == len(rows)


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


@pytest.mark.slow
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


@settings(max_examples=examples(200), deadline=None)
@given(raw=JSON_VALUES)
def test_parse_never_raises_on_any_json(raw):
    assert isinstance(PARSER.parse(raw), Violation)


@settings(max_examples=examples(200), deadline=None)
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
