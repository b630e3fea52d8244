"""An identifier is told from longer words in every encoding, and from small numbers not at all."""

from __future__ import annotations

import base64

import pytest

from core.erasing.sought import Sought
from core.errors import InvalidInputError

ENCODINGS = {
    "plain": lambda text: text.encode(),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "hex": lambda text: text.encode().hex().encode(),
    "HEX": lambda text: text.encode().hex().upper().encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 one on": lambda text: base64.b64encode(b" " + text.encode() + b";"),
    "base64 two on": lambda text: base64.urlsafe_b64encode(b"? " + text.encode() + b"~~"),
    "url": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
    "key of an entity": lambda text: b"\0" + bytes([len(text)]) + text.encode() + b"\0\x04abcd",
}
CARD = Sought("card-7")


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_it_is_found_and_blanked_without_moving_anything(encode):
    content = b"[ " + encode("card-7") + b" ]"
    blank = CARD.blanked(content)
    assert CARD.stands_in(content)
    assert len(blank) == len(content)
    assert blank[:2] + blank[-2:] == b"[  ]"
    assert not CARD.may_stand_in(blank)


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("other", ["card-71", "card-7-1", "my_card-7"])
def test_a_longer_word_is_somebody_else(encode, other):
    content = b"[ " + encode(other) + b" ]"
    assert not CARD.stands_in(content)
    assert CARD.blanked(content) == content


def test_numbers_in_base64_that_meet_the_inner_characters_of_a_short_identifier_are_not_it():
    short, needle = Sought("seek"), base64.b64encode(b"?seek;")[2:6]
    assert short.needles[needle] == "base64"
    assert not short.stands_in(b'"' + b"A" * 20 + needle + b"A" * 20 + b'"')
    assert short.stands_in(b'"' + base64.b64encode(bytes(13) + b"?seek;" + bytes(13)) + b'"')


def test_a_length_that_looks_like_a_letter_is_no_letter():
    long = "x" * 65
    assert Sought(long).stands_in(b"\0A" + long.encode() + b"\0\x01y")


def test_values_hold_it_whatever_their_type():
    number = Sought("4012888888881881")
    assert number.is_in(4012888888881881)
    assert number.is_in(4012888888881881.0)
    assert number.is_in({"a": [None, "to 4012888888881881"]})
    assert not any(map(number.is_in, (None, True, 4012888888881882, "14012888888881881", 1.5)))


def test_a_token_counts_apart():
    known = Sought("card-7", ["masked:00112233445566778899"])
    assert known.count(b"masked:00112233445566778899 card-7") == {"keyed": 1, "utf-8": 1}


def test_a_small_number_is_refused_without_repeating_it():
    with pytest.raises(InvalidInputError, match="small number") as refused:
        Sought("471147")
    assert "471147" not in str(refused.value)
