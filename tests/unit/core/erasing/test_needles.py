"""Every encoding of an identifier is found wherever it stands, and nothing else is."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.erasing.needles import SHORTEST, needles
from core.errors import InvalidInputError
from core.features.keys import entity_key

identifiers = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]), min_size=SHORTEST, max_size=30
)


def is_found(identifier: str, content: bytes) -> bool:
    return any(needle in content for needle in needles(identifier))


@given(identifiers, st.binary(max_size=9), st.binary(max_size=9))
def test_every_common_encoding_gives_it_away(identifier, before, behind):
    plain = identifier.encode()
    for content in (
        plain,
        identifier.encode("utf-16-le"),
        identifier.encode("utf-16-be"),
        plain.hex().encode(),
        plain.hex().upper().encode(),
        json.dumps({"card": identifier}).encode(),
        quote(identifier, safe="").encode(),
        base64.b64encode(before + plain + behind),
        base64.urlsafe_b64encode(before + plain + behind),
        entity_key([identifier, "more"]),
    ):
        assert is_found(identifier, before + content + behind)


@pytest.mark.parametrize("identifier", ["4012888888881881", "card+7/8", "Zoë-Ünïcode"])
def test_the_ways_a_form_a_number_and_a_byte_are_written_are_found(identifier):
    assert is_found(identifier, quote_plus(identifier).lower().encode())
    if identifier.isdecimal():
        assert is_found(identifier, int(identifier).to_bytes(8, "little"))
        assert is_found(identifier, b"\x01" + int(identifier).to_bytes(8, "big"))


@given(st.text("abcdef0123456789", min_size=8, max_size=16))
def test_another_identifier_is_not_found(identifier):
    # In the middle: base64 shares its outermost characters with what stands beside it.
    other = identifier[:4] + ("0" if identifier[4] != "0" else "1") + identifier[5:]
    content = json.dumps({"card": other}).encode()
    contents = (content, content.hex().encode(), base64.b64encode(content), entity_key([other]))
    assert not any(is_found(identifier, content) for content in contents)


@pytest.mark.parametrize("identifier", ["", "c1", "abc", "abcd\ud800"])
def test_what_chance_would_find_or_no_file_can_hold_is_refused(identifier):
    with pytest.raises(InvalidInputError):
        needles(identifier)
