"""Bodies that no caller should send in a request for a prediction, each with its code."""

from __future__ import annotations

import json
import random
from typing import Any

MARK = "mark4111"
"""Stands in what is sent, and in no answer."""
POINT: dict[str, Any] = {
    "entities": {"card_id": MARK, "terminal_id": "t1"},
    "inputs": {"amount_minor": 1_250},
}
GOOD = json.dumps(POINT).encode()


def _amount(text: str) -> bytes:
    return GOOD.replace(b"1250", text.encode())


def _card(text: str) -> bytes:
    return GOOD.replace(b'"%b"' % MARK.encode(), text.encode())


def _put(raw: bytes) -> bytes:
    return GOOD.replace(b"mark", raw + b"mark")


def _more(text: str) -> bytes:
    return GOOD[:-1] + text.encode() + b"}"


MALFORMED = "malformed"
BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", MALFORMED),
    "blank": (b"   \n", MALFORMED),
    "null": (b"null", "contract"),
    "number": (b"17", "contract"),
    "text": (b'"mark4111"', "contract"),
    "list": (b"[]", "contract"),
    "list of lists": (b"[[[[]]]]", "contract"),
    "open": (b"{", MALFORMED),
    "cut": (GOOD[:-1], MALFORMED),
    "two": (GOOD + GOOD, MALFORMED),
    "comma": (_more(","), MALFORMED),
    "comment": (GOOD + b"// mark4111", MALFORMED),
    "single quotes": (GOOD.replace(b'"', b"'"), MALFORMED),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, MALFORMED),
    "utf-16": (GOOD.decode().encode("utf-16"), MALFORMED),
    "utf-16 without mark": (GOOD.decode().encode("utf-16-le"), MALFORMED),
    "utf-32": (GOOD.decode().encode("utf-32"), MALFORMED),
    "utf-7": (_card('"+AGM-"') + b"+", MALFORMED),
    "latin-1": (_put("é".encode("latin-1")), MALFORMED),
    "broken utf-8": (_put(b"\xff\xfe"), MALFORMED),
    "overlong utf-8": (_put(b"\xc0\xaf"), MALFORMED),
    "utf-8 beyond unicode": (_put(b"\xf5\x80\x80\x80"), MALFORMED),
    "utf-8 surrogate": (_put(b"\xed\xa0\x80"), MALFORMED),
    "half a character": (_put(b"\xe2\x82"), MALFORMED),
    "raw control": (_put(b"\x01"), MALFORMED),
    "raw zero": (_put(b"\x00"), MALFORMED),
    "raw newline": (_put(b"\n"), MALFORMED),
    "zero behind": (GOOD + b"\x00", MALFORMED),
    "escaped zero": (_put(b"\\u0000"), "contract"),
    "lone high surrogate": (_put(b"\\ud800"), MALFORMED),
    "lone low surrogate": (_put(b"\\udc00"), MALFORMED),
    "surrogates reversed": (_put(b"\\udc00\\ud800"), MALFORMED),
    "half escape": (_put(b"\\u12"), MALFORMED),
    "unknown escape": (_put(b"\\x41"), MALFORMED),
    "NaN": (_amount("NaN"), MALFORMED),
    "Infinity": (_amount("Infinity"), MALFORMED),
    "-Infinity": (_amount("-Infinity"), MALFORMED),
    "1e999": (_amount("1e999"), MALFORMED),
    "-1e999": (_amount("-1e999"), MALFORMED),
    "1e308": (_amount("1e308"), "contract"),
    "tiny": (_amount("1e-400"), "contract"),
    "huge exponent": (_amount("1e" + "9" * 1_000), MALFORMED),
    "fraction": (_amount("0.5"), "contract"),
    "huge": (_amount("9" * 400), "contract"),
    "very huge": (_amount("9" * 100_000), MALFORMED),
    "long fraction": (_amount("0." + "3" * 100_000), "contract"),
    "beyond int64": (_amount(str(2**63)), "contract"),
    "beyond uint64": (_amount(str(2**64)), "contract"),
    "below int64": (_amount(str(-(2**63) - 1)), "contract"),
    "minus zero": (_amount("-0"), "contract"),
    "leading zero": (_amount("01250"), MALFORMED),
    "plus": (_amount("+1250"), MALFORMED),
    "point alone": (_amount("1250."), MALFORMED),
    "hex": (_amount("0x10"), MALFORMED),
    "underscore": (_amount("1_250"), MALFORMED),
    "arabic digits": (_amount("\u0661\u0662"), MALFORMED),
    "true": (_amount("true"), "contract"),
    "null amount": (_amount("null"), "contract"),
    "text amount": (_amount('"mark4111"'), "contract"),
    "list amount": (_amount("[1250]"), "contract"),
    "object amount": (_amount("{}"), "contract"),
    "negative": (_amount("-1"), "contract"),
    "zero": (_amount("0"), "contract"),
    "too much": (_amount("10000001"), "contract"),
    "empty key": (_card('""'), "contract"),
    "number key": (_card("1"), "contract"),
    "null key": (_card("null"), "contract"),
    "list key": (_card('["mark4111"]'), "contract"),
    "long key": (_card('"' + MARK * 9 + '"'), "contract"),
    "very long key": (_card('"' + MARK * 20_000 + '"'), "contract"),
    "key with spaces": (_put(b"a b"), "contract"),
    "key with a newline": (_put(b"a\\n"), "contract"),
    "key in other letters": (_put("\u0435".encode()), "contract"),
    "unknown field": (_more(', "mark4111": 1'), "contract"),
    "field of a prototype": (_more(', "__proto__": {}'), "contract"),
    "empty name": (_more(', "": 1'), "contract"),
    "unknown entity": (_card('"c1", "mark4111": 1'), "contract"),
    "no entities": (b'{"inputs": {"amount_minor": 1}}', "contract"),
    "entities null": (b'{"entities": null, "inputs": {"amount_minor": 1}}', "contract"),
    "entities list": (b'{"entities": [], "inputs": {"amount_minor": 1}}', "contract"),
    "no inputs": (b'{"entities": {"card_id": "mark4111", "terminal_id": "t1"}}', "contract"),
    "at word": (_more(', "at": "mark4111"'), "contract"),
    "at bool": (_more(', "at": true'), "contract"),
    "at huge": (_more(', "at": 1e300'), "contract"),
    "at year 0": (_more(', "at": "0000-01-01T00:00:00Z"'), "contract"),
    "at year 10000": (_more(', "at": 253402300800000'), "contract"),
    "at month 13": (_more(', "at": "2026-13-01T00:00:00Z"'), "contract"),
    "key twice": (_more(', "inputs": {"amount_minor": 1}'), "duplicate_key"),
    "key twice, once escaped": (_more(', "input\\u0073": {"amount_minor": 1}'), "duplicate_key"),
    "key twice below": (_amount('1, "amount_minor": 2'), "duplicate_key"),
    "key twice in a list": (_more(', "x": [{"a": 1, "a": 2}]'), "duplicate_key"),
    "explain word": (_more(', "explain": "mark4111"'), "contract"),
    "explain null": (_more(', "explain": null'), "contract"),
    "deep lists": (b"[" * 100_000, MALFORMED),
    "deep objects": (b'{"a":' * 30_000, MALFORMED),
    "deep and closed": (b"[" * 50_000 + b"]" * 50_000, MALFORMED),
    "many keys": (json.dumps({f"{MARK}{n}": n for n in range(5_000)}).encode(), "contract"),
    "many numbers": (b"[" + b"1," * 60_000 + b"1]", "contract"),
    "control bytes": (bytes(range(256)), MALFORMED),
    "chance": (random.Random(7).randbytes(5_000), MALFORMED),
    "a form": (b"entities=mark4111&inputs=1", MALFORMED),
    "xml": (b"<?xml version='1.0'?><a>mark4111</a>", MALFORMED),
    "many documents": (b"\n".join([GOOD] * 3), MALFORMED),
}
