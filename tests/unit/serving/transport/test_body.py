from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import MalformedBodyError
from serving.transport.body import strict_json

BODY = (
    b'{"entities": {"card_id": "c1", "terminal_id": "t9"}, "inputs": {"amount_minor": 1250},'
    b' "at": "2026-01-01T00:00:00Z", "explain": false}'
)
TWICE = {
    "at the top": BODY[:-1] + b', "explain": true}',
    "with the same value": BODY[:-1] + b', "explain": false}',
    "below": BODY.replace(b"1250", b'1250, "amount_minor": 9'),
    "in a list": b'{"points": [' + BODY + b', {"a": {"b": 1, "b": 1}}]}',
    "spelt by an escape": BODY.replace(b"1250", b'1250, "amount\\u005fminor": 9'),
    "beside escaped colons": b'{"a": "\\u003a", "b": 1, "b": 2}',
    "beside escaped quotes": b'{"a": "\\"x\\": \\\\", "b": 1, "b": 2}',
    "beside a colon": b'{"a": "x:y", "a": "x"}',
    "an empty one": b'{"": 1, "": 2}',
    "with blanks before the colon": b'{"a"  : 1, "a"\n:\t2}',
    "an object, then nothing": b'{"a": {"b": 1}, "a": null}',
}


@pytest.mark.parametrize("body", TWICE.values(), ids=TWICE.keys())
def test_a_key_given_twice_is_refused(body):
    with pytest.raises(MalformedBodyError) as refused:
        strict_json(body)
    assert refused.value.code == "duplicate_key"
    assert str(refused.value) == "an object of the body has a key twice; give every key once"


ONCE = {
    "plain": BODY,
    "the same key in two objects": b'{"a": {"x": 1}, "b": {"x": 1}, "x": [{"x": 1}, {"x": 1}]}',
    "colons in keys and values": b'{"a:b": "::", ":": ["::", {":a": ":"}]}',
    "quotes and colons": b'{"a": "\\"b\\": 1", "c\\"": "\\\\", "d": "\\\\\\":"}',
    "keys that look alike": '{"e\u0301": 1, "\u00e9": 2, "A": 3, "a": 4}'.encode(),
    "no object": b'["a:b", 1]',
}


@pytest.mark.parametrize("body", ONCE.values(), ids=ONCE.keys())
def test_keys_given_once_are_taken(body):
    assert strict_json(body) == json.loads(body)


texts = st.text(st.sampled_from('":\\ab{},/ \u00e9\u2028'), max_size=4)
# An object is drawn as its members in order, so that a key may come twice.
trees = st.recursive(
    st.none() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(texts, inner)).map(tuple),
    max_leaves=10,
)


def spelt(tree: Any, *, is_ascii: bool) -> str:
    """JSON of a tree."""
    if isinstance(tree, tuple):
        parts = (
            f"{spelt(name, is_ascii=is_ascii)} :{spelt(value, is_ascii=is_ascii)}"
            for name, value in tree
        )
        return "{" + ", ".join(parts) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(spelt(each, is_ascii=is_ascii) for each in tree) + "]"
    return json.dumps(tree, ensure_ascii=is_ascii)


def has_key_twice(tree: Any) -> bool:
    """What the standard library's pairs would say, slowly."""
    if isinstance(tree, tuple):
        names = [name for name, _ in tree]
        return len(set(names)) < len(names) or any(has_key_twice(value) for _, value in tree)
    return isinstance(tree, list) and any(has_key_twice(each) for each in tree)


@given(tree=trees, is_ascii=st.booleans())
def test_a_body_is_refused_when_and_only_when_a_key_comes_twice(tree, is_ascii):
    body = spelt(tree, is_ascii=is_ascii).encode()
    if has_key_twice(tree):
        with pytest.raises(MalformedBodyError):
            strict_json(body)
    else:
        assert strict_json(body) == json.loads(body)
