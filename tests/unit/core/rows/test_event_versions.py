"""Rows of two majors are one thing to whoever reads them; who may follow whom is one rule."""

from __future__ import annotations

import json

import pytest
from grown_payments import AMOUNT, CARD, GROWN, TERMINAL, WAS
from payments import NOW_MS, PAYMENTS, VERDICTS, payment

from core.clock import date_start_ms
from core.contracts import FieldSpec, Source
from core.errors import ConfigurationError, InvalidInputError
from core.rows.event_versions import (
    CONTRACT_KEY,
    VersionedParser,
    as_in_table,
    following_source,
    following_sources,
    newest,
    spoken,
)
from core.rows.field_mapping import always, taken_from
from core.rows.row_parser import RowParser, Violation

PARSER = VersionedParser(GROWN)
OVER_MS = date_start_ms(WAS.until)


def source_of(*fields, **changes):
    return PAYMENTS.model_copy(update={"fields": fields, **changes})


def widened(spec, **changes):
    return spec.model_copy(update=changes)


BREAKING = {
    "is no longer taken": source_of(TERMINAL, AMOUNT),
    "is a string, before a int64": source_of(TERMINAL, widened(AMOUNT, type="string"), CARD),
    "needs a name of its own": source_of(TERMINAL, widened(AMOUNT, type="float64"), CARD),
    "must be sent, which callers": source_of(*PAYMENTS.fields, FieldSpec(name="x", type="bool")),
    "takes up to 9, before inf": source_of(TERMINAL, widened(AMOUNT, maximum=9.0), CARD),
    "must match": source_of(TERMINAL, AMOUNT, widened(CARD, pattern="c.*")),
    "must be in verdicts": source_of(
        *PAYMENTS.fields,
        references=(VERDICTS.references[0].model_copy(update={"source": "verdicts"}),),
    ),
}


@pytest.mark.parametrize("what", BREAKING)
def test_what_senders_would_trip_over_needs_a_new_major(what):
    found = following_source(BREAKING[what], PAYMENTS, NOW_MS)
    assert (found.word, found.is_allowed) == ("breaks", False)
    assert what in found.sentence()
    assert found.sentence().endswith("declare version 2.0, or take the change back")


def test_what_nobody_trips_over_may_come_under_the_same_major():
    more = source_of(*PAYMENTS.fields, FieldSpec(name="x", type="bool", is_nullable=True))
    assert following_source(more, PAYMENTS, NOW_MS).word == "compatible"
    assert following_source(widened(PAYMENTS, description="else"), PAYMENTS, NOW_MS).word == "same"
    assert following_source(PAYMENTS, more, NOW_MS).word == "breaks"


def test_a_new_major_takes_rows_of_the_one_before_until_its_day():
    assert following_source(GROWN, PAYMENTS, NOW_MS).word == "new_major"
    alone = widened(GROWN, former=())
    assert following_source(alone, PAYMENTS, NOW_MS).word == "drops"
    assert following_source(alone, GROWN, OVER_MS - 1).word == "drops"
    assert following_source(alone, GROWN, OVER_MS).is_allowed
    sooner = widened(GROWN, former=(widened(WAS, until="2026-02-01"),))
    assert following_source(sooner, GROWN, NOW_MS).word == "drops"
    less = widened(
        GROWN, former=(widened(WAS, fields=(TERMINAL, AMOUNT, widened(CARD, max_length=9))),)
    )
    found = following_source(less, PAYMENTS, NOW_MS)
    assert (found.word, found.after) == ("breaks", "1.0")
    assert following_source(PAYMENTS, GROWN, OVER_MS).word == "goes_back"


def test_sources_are_held_to_the_newest_of_their_name():
    assert newest([GROWN, PAYMENTS, VERDICTS]) == {"payments": GROWN, "verdicts": VERDICTS}
    found = following_sources([GROWN, VERDICTS], [PAYMENTS, GROWN], NOW_MS)
    assert [each.word for each in found] == ["same"]


def test_a_sender_that_says_nothing_speaks_the_oldest_until_its_day():
    assert spoken(PAYMENTS, None, NOW_MS).former is None
    silent = spoken(GROWN, None, NOW_MS)
    assert (silent.source.fields, silent.former) == (PAYMENTS.fields, WAS)
    assert spoken(GROWN, "1.0", OVER_MS - 1).former == WAS
    assert spoken(GROWN, "2", OVER_MS).source == GROWN
    for said, at_ms, code in (
        (None, OVER_MS, "contract_ended"),
        ("1", OVER_MS, "contract_ended"),
        ("1.1", NOW_MS, "unknown_contract"),
        ("3", NOW_MS, "unknown_contract"),
        ("two", NOW_MS, "unknown_contract"),
    ):
        with pytest.raises(InvalidInputError) as refused:
            spoken(GROWN, said, at_ms)
        assert refused.value.code == code


def test_a_row_of_the_former_contract_is_one_of_the_present_and_keeps_its_digest():
    raw = payment("p1", NOW_MS)
    row, was = PARSER.parse(raw, said=1), RowParser(PAYMENTS).parse(raw)
    assert not isinstance(row, Violation)
    assert not isinstance(was, Violation)
    assert dict(zip(PARSER.present.names, row.values, strict=True)) == {
        "terminal_id": "t1",
        "amount_minor": 100,
        "card_id": "c1",
        "way": "shop",
    }
    assert row.payload_digest == was.payload_digest


@pytest.mark.parametrize(
    ("raw", "said", "code"),
    [
        (payment("p1", NOW_MS, way="web"), 1, "unknown_field"),
        (payment("p1", NOW_MS), 2, "missing_field"),
        (payment("p1", NOW_MS, amount_minor=5_001), 1, "out_of_range"),
        (payment("p1", NOW_MS, amount_minor=5_001), 3, "unknown_contract"),
        ({**payment("p1", NOW_MS), CONTRACT_KEY: "1"}, 1, "unknown_contract"),
        ({**payment("p1", NOW_MS), CONTRACT_KEY: [1]}, 1, "unknown_contract"),
    ],
)
def test_a_row_that_its_contract_or_the_present_one_refuses_is_refused(raw, said, code):
    found = PARSER.parse(raw, said=said)
    assert isinstance(found, Violation)
    assert found.code == code


def test_a_record_says_its_contract_before_anybody_else_does():
    row = PARSER.parse({**payment("p1", NOW_MS, way="web"), CONTRACT_KEY: 2}, said=1)
    assert not isinstance(row, Violation)
    assert row.values[-1] == "web"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"former": (WAS, WAS)}, "each major once"),
        ({"version": "1.5"}, "each major once"),
        ({"former": (widened(WAS, until="2025-01-01"),)}, "ends before"),
        ({"former": (widened(WAS, rows={}),)}, "fields left out way"),
        ({"former": (widened(WAS, rows={"way": taken_from("shop")}),)}, "the file lacks: shop"),
        (
            {"former": (widened(WAS, rows={"way": always("x"), "y": always(1)}),)},
            "unknown fields y",
        ),
        (
            {
                "former": (
                    widened(
                        WAS, fields=(TERMINAL, FieldSpec(name="amount_minor", type="string"), CARD)
                    ),
                )
            },
            "one column a name",
        ),
        (
            {
                "former": (
                    widened(WAS, rows={**WAS.rows, "card_id": taken_from("card_id", "to_text")}),
                )
            },
            "by one spelling",
        ),
    ],
)
def test_former_contracts_of_which_no_row_can_come_are_refused(changes, match):
    with pytest.raises(ConfigurationError, match=match):
        VersionedParser(widened(GROWN, **changes))


def test_a_table_may_hold_what_either_major_took():
    found = {spec.name: spec for spec in as_in_table(GROWN).fields}
    assert (found["amount_minor"].minimum, found["amount_minor"].maximum) == (1, None)
    assert (found["way"].is_nullable, found["way"].allowed) == (True, ("shop", "web"))
    assert found["card_id"] == CARD
    assert as_in_table(PAYMENTS) == PAYMENTS


def test_a_source_without_versions_is_written_as_before_and_one_with_reads_back():
    assert not {"version", "former"} & PAYMENTS.model_dump().keys()
    assert Source.model_validate(json.loads(json.dumps(GROWN.model_dump()))) == GROWN
