"""A change called harmless lets by all that was let by before; the table of changes."""

from __future__ import annotations

import random

import pytest

from core.contracts import FieldSpec
from core.interface import ANSWER_FIELDS, Interface, changes_between, compatibility, following
from core.rows.field_checks import RefusedValue, check_of
from serving.transport.schemas import ANSWER

AMOUNT = FieldSpec(name="amount", type="int64", minimum=1, maximum=500)
CARD = FieldSpec(name="card", type="string", max_length=64, pattern="[a-z]+")
KIND = FieldSpec(name="kind", type="string", allowed=("a", "b"), is_nullable=True)
ONE = Interface(keys=(CARD,), inputs=(AMOUNT, KIND), decisions=("ALLOW", "BLOCK"))


def changed(spec, **changes):
    """The interface with one field replaced."""
    other = spec.model_copy(update=changes)
    swap = {spec.name: other}
    return ONE.model_copy(
        update={
            "keys": tuple(swap.get(each.name, each) for each in ONE.keys),
            "inputs": tuple(swap.get(each.name, each) for each in ONE.inputs),
        }
    )


HARMLESS = {
    "a higher maximum": changed(AMOUNT, maximum=900),
    "no minimum": changed(AMOUNT, minimum=None),
    "whole numbers to numbers": changed(AMOUNT, type="float64"),
    "may be null": changed(AMOUNT, is_nullable=True),
    "longer texts": changed(CARD, max_length=65),
    "no pattern": changed(CARD, pattern=None),
    "one more value": changed(KIND, allowed=("a", "b", "c")),
    "any value": changed(KIND, allowed=()),
    "a field that may be sent": ONE.model_copy(
        update={"inputs": (*ONE.inputs, KIND.model_copy(update={"name": "more"}))}
    ),
    "a decision less": ONE.model_copy(update={"decisions": ("ALLOW",)}),
    "an answer's field more": ONE.model_copy(update={"answer": (*ANSWER_FIELDS, "more")}),
}
BREAKING = {
    "a lower maximum": changed(AMOUNT, maximum=499),
    "a minimum": changed(AMOUNT, minimum=2),
    "numbers to texts": changed(AMOUNT, type="string"),
    "must be sent": changed(KIND, is_nullable=False),
    "shorter texts": changed(CARD, max_length=63),
    "another pattern": changed(CARD, pattern="[a-z0-9]+"),
    "a value less": changed(KIND, allowed=("a",)),
    "a field more that must be sent": ONE.model_copy(
        update={"inputs": (*ONE.inputs, AMOUNT.model_copy(update={"name": "more"}))}
    ),
    "a field less": ONE.model_copy(update={"inputs": (AMOUNT,)}),
    "a key by another name": changed(CARD, name="card_id"),
    "a decision more": ONE.model_copy(update={"decisions": ("ALLOW", "REVIEW", "BLOCK")}),
    "an answer's field less": ONE.model_copy(update={"answer": ANSWER_FIELDS[1:]}),
}
UNSEEN = {
    "order": ONE.model_copy(update={"inputs": (KIND, AMOUNT), "decisions": ("BLOCK", "ALLOW")}),
    "words": changed(AMOUNT, description="money", column_class="personal"),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_no_caller_trips_over_is_compatible(case):
    found = compatibility(ONE, HARMLESS[case])
    assert (found.word, found.breaking, len(found.changes)) == ("compatible", (), 1)


@pytest.mark.parametrize("case", BREAKING)
def test_what_a_caller_trips_over_breaks_and_a_new_major_may_do_it(case):
    found = compatibility(ONE, BREAKING[case])
    assert found.word == "breaks"
    assert found.breaking[0].sentence() in found.sentence()
    assert "declare version 2.0" in found.sentence()
    newer = BREAKING[case].model_copy(update={"version": "2.0"})
    assert compatibility(ONE, newer).word == "new_major"


@pytest.mark.parametrize("case", UNSEEN)
def test_what_no_caller_sees_is_no_change(case):
    assert compatibility(ONE, UNSEEN[case]).word == "same"


def drawn(rng):
    """A field of any type and rules, and values around its limits."""
    kind = rng.choice(["int64", "float64", "string", "bool", "timestamp"])
    rules = {"is_nullable": rng.random() < 0.3}
    if kind in ("int64", "float64"):
        low = rng.choice([None, 0, 1, 5])
        rules |= {"minimum": low, "maximum": rng.choice([None, 6, 9])}
    if kind == "string":
        rules["max_length"] = rng.choice([1, 2, 256])
        rules["pattern"] = rng.choice([None, None, "[0-9]+"])
        rules["allowed"] = rng.choice([(), ("1", "2"), ("1", "2", "ab"), ("2",)])
    return FieldSpec(name="x", type=kind, **rules)


VALUES = (None, 0, 1, 2, 5, 6, 9, 10, -1, 0.5, 6.5, "1", "2", "ab", "abc", "x" * 257, True)


def takes(spec, value):
    if value is None:
        return spec.is_nullable
    try:
        check_of(spec)(value)
    except RefusedValue:
        return False
    return True


def test_a_change_called_harmless_takes_all_that_was_taken():
    rng = random.Random(7)
    n_harmless, n_shown = 0, 0
    for _ in range(3_000):
        was, now = drawn(rng), drawn(rng)
        before, after = (Interface(keys=(), inputs=(s,), decisions=()) for s in (was, now))
        refused = [v for v in VALUES if takes(was, v) and not takes(now, v)]
        if any(change.is_breaking for change in changes_between(before, after)):
            n_shown += bool(refused)
            continue
        n_harmless += 1
        assert not refused, (was, now, refused)
    assert n_harmless > 100
    assert n_shown > 1_000  # and most that are called breaking do refuse something


def test_a_release_is_held_to_what_is_served_of_its_own_major():
    two = changed(AMOUNT, maximum=9).model_copy(update={"version": "2.0"})
    wider = changed(AMOUNT, maximum=900).model_copy(update={"version": "1.1"})
    three = two.model_copy(update={"version": "3.0"})
    assert following(ONE, []) is None

    def found(after, served):
        compared = following(after, served)
        assert compared is not None
        return compared.word, compared.before

    assert found(wider, [two, ONE]) == ("compatible", "1.0")
    assert found(ONE, [wider]) == ("goes_back", "1.1")
    assert found(ONE, [two]) == ("goes_back", "2.0")
    assert found(three, [two, ONE]) == ("new_major", "2.0")


def test_the_api_answers_the_fields_that_bundles_promise():
    assert tuple(ANSWER["required"]) == tuple(ANSWER["properties"]) == ANSWER_FIELDS
