from __future__ import annotations

from itertools import permutations
from types import MappingProxyType

import pytest
from pydantic import ValidationError
from training_sets import small_use_case

from core.consent import Consent, asked_online, opted_out
from core.contracts import FieldSpec
from core.decisions import DecisionPolicy
from core.degradation import Degradation
from core.use_case import UseCase

SAID = Consent(source="wishes", column="is_out", keys=("card_id",))


def word(card, is_out, at=1, available=1, event_id="e"):
    return {
        "card_id": card,
        "is_out": is_out,
        "event_timestamp": at,
        "available_at": available,
        "event_id": event_id,
    }


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (word("c", True), word("c", False, at=2)),
        (word("c", True), word("c", False, available=2)),
        (word("c", True), word("c", False, event_id="f")),
    ],
)
def test_the_last_word_counts_in_whatever_order_words_come(first, last):
    for rows in permutations([first, last]):
        assert opted_out(SAID, rows) == frozenset()
    taken_back = [last | {"is_out": True}, first | {"is_out": False}]
    for rows in permutations(taken_back):
        assert opted_out(SAID, rows) == {("c",)}


def test_null_says_nothing_and_a_row_about_nobody_neither():
    rows = [word("c", 1), word("c", None, at=9), word(None, True, at=9)]
    assert opted_out(SAID, rows) == {("c",)}


def test_a_subject_is_all_of_its_keys():
    both = SAID.model_copy(update={"keys": ("card_id", "shop")})
    rows = [word("c", True) | {"shop": 1}, word("c", False) | {"shop": 2}]
    assert opted_out(both, rows) == {("c", "1")}


def asking(beside=MappingProxyType({}), *, is_nullable=True, **changes):
    """A use case that asks; the profiles' source is where it is said."""
    use_case = small_use_case()
    said = FieldSpec(name="is_out", type="bool", is_nullable=is_nullable)
    *others, profiles = use_case.sources
    sources = (*others, profiles.model_copy(update={"fields": (*profiles.fields, said)}))
    told = {"source": "profiles", "column": "is_out", "keys": ("card_id",)} | changes
    document = use_case.model_dump() | {"sources": sources, "consent": Consent(**told)}
    return UseCase.model_validate(document | beside)


def test_a_use_case_may_ask_its_subjects():
    assert asking().consent == Consent(source="profiles", column="is_out", keys=("card_id",))


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"source": "wishes"}, "consent.source wishes is no source"),
        ({"column": "opted"}, "consent.column opted"),
        ({"column": "country"}, "consent.column country"),
        ({"keys": ("country",)}, "consent.keys country"),
        ({"keys": ("terminal_id",)}, "consent.keys terminal_id"),
    ],
)
def test_a_declaration_that_cannot_be_followed_is_refused(changes, wrong):
    with pytest.raises(ValidationError, match=wrong):
        asking(**changes)


RULES = DecisionPolicy(rules=(), default="REVIEW", default_reason="not_scored")
LADDER = {"degradation": Degradation(unscored=RULES)}


def test_requests_may_follow_where_there_is_a_ladder_and_a_last_row_is_a_last_word():
    consent = asking(LADDER, is_nullable=False, requests="by_rules").consent
    assert consent is not None
    assert asked_online(consent) == consent
    assert asked_online(SAID) is None
    assert "requests" not in SAID.model_dump()  # papers from before keep their digest
    with pytest.raises(ValidationError, match="needs a degradation"):
        asking({"degradation": None}, is_nullable=False, requests="by_rules")
    with pytest.raises(ValidationError, match="is_out is nullable"):
        asking(LADDER, requests="without_features")
