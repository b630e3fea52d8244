"""One identifier in bytes: where it stands, and what must not be taken for it.

A needle found is not yet the person: ``card-7`` stands in ``card-71`` too. What is part of a longer
word of letters, digits, ``-`` and ``_`` is somebody else's, whatever the encoding of both.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from core.erasing.needles import needles
from core.errors import InvalidInputError

MASKED = "keyed"
"""Encoding of a token that stands for the identifier in records."""

_WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_")
_BASE64 = _WORD | frozenset(b"+/")
_FILLINGS = {"utf-16-le": b"0\0", "utf-16-be": b"\x000", "int64": b"\0"}
_WINDOW = 8
_SHARED = 2
"""Characters of base64 at each end of an identifier that its neighbours may share."""

_WHOLE = ("int64", MASKED)
"""Encodings of a fixed length: nothing longer begins like one."""

SMALLEST_NUMBER = 2**24
"""Below it an identifier of digits alone is also an amount, a count, a port."""


class Span(NamedTuple):
    """Where the identifier stands in some bytes, and in which encoding."""

    start: int
    end: int
    encoding: str


class Sought:
    """An identifier to be found in bytes and in values.

    Parameters
    ----------
    identifier
        As it is written; see `core.erasing.needles.needles` for what is too short.
    tokens
        What stands for it in records (`stores.masking`); counted as `MASKED`.

    Raises
    ------
    InvalidInputError
        If chance would find it everywhere.

    Examples
    --------
    >>> card = Sought("card-7")
    >>> card.count(b"card-7 card-71 old-card-7 636172642d37")
    Counter({'utf-8': 1, 'hex': 1})
    >>> card.blanked(b'{"card": "card-7"}')
    b'{"card": "000000"}'
    >>> card.is_in("card-7"), card.is_in("card-71"), card.is_in(["x", b"to card-7"])
    (True, False, True)
    """

    def __init__(self, identifier: str, tokens: Iterable[str] = ()) -> None:
        if identifier.isdecimal() and int(identifier) < SMALLEST_NUMBER:
            raise InvalidInputError(
                "a small number cannot be told from other numbers in bytes",
                found=f"an identifier of {len(identifier)} digits",
                remedy="give entities keys of letters, or of 8 digits and more",
                code="short_identifier",
            )
        self.identifier = identifier
        self._plain = identifier.encode()
        self.needles = {**needles(identifier), **{token.encode(): MASKED for token in tokens}}

    def may_stand_in(self, content: bytes) -> bool:
        """Whether a needle is there; quick, and true of a longer word too."""
        return any(needle in content for needle in self.needles)

    def spans(self, content: bytes) -> Iterator[Span]:
        """Where it stands, encoding by encoding; ``content`` may be mapped from a file."""
        for needle, encoding in self.needles.items():
            start = content.find(needle)
            while start >= 0:
                end = start + len(needle)
                if self._is_whole(content, start, end, encoding):
                    yield Span(start, end, encoding)
                start = content.find(needle, start + 1)

    def count(self, content: bytes) -> Counter[str]:
        """How often it stands there, by encoding."""
        return Counter(span.encoding for span in self.spans(content))

    def stands_in(self, content: bytes) -> bool:
        """Whether it stands there."""
        return next(self.spans(content), None) is not None

    def is_in(self, value: Any) -> bool:
        """Whether a value is the identifier, or has it inside."""
        if value is None or isinstance(value, bool):
            return False
        if isinstance(value, bytes):
            return self.stands_in(value)
        if isinstance(value, dict):
            return any(self.is_in(part) for pair in value.items() for part in pair)
        if isinstance(value, list | tuple):
            return any(self.is_in(part) for part in value)
        text = value if isinstance(value, str) else _text_of(value)
        encoded = text.encode("utf-8", "surrogatepass")
        return encoded == self._plain or self.stands_in(encoded)

    def blanked(self, content: bytes) -> bytes:
        """The same bytes with zeros in its place, so that nothing behind it moves."""
        blank = bytearray(content)
        for start, end, encoding in list(self.spans(content)):
            blank[start:end] = filling(end - start, encoding)
        return bytes(blank)

    def _is_whole(self, content: bytes, start: int, end: int, encoding: str) -> bool:
        if encoding in _WHOLE:
            return True
        if encoding == "base64":
            return self._is_whole_in_base64(content, start, end)
        before, behind = _neighbours(content, start, end, encoding)
        # A length may stand before it, which may look like a letter.
        is_begun = before not in _WORD or before == len(self._plain) % 256
        return is_begun and behind not in _WORD

    def _is_whole_in_base64(self, content: bytes, start: int, end: int) -> bool:
        first, last = start, end
        while first > max(0, start - _WINDOW) and content[first - 1] in _BASE64:
            first -= 1
        while last < min(len(content), end + _WINDOW) and content[last] in _BASE64:
            last += 1
        run = bytes(content[first:last]).replace(b"-", b"+").replace(b"_", b"/")
        for cut in range(4):
            decoded = _decoded(run[cut:])
            at = decoded.find(self._plain)
            if at >= 0:
                return self._is_whole(decoded, at, at + len(self._plain), "utf-8")
        # Where the run goes on to both sides, the characters left out of the needle were decoded
        # with it: it was met by chance. At an end of the run they may be elsewhere.
        return start - first < _SHARED or last - end < _SHARED


def filling(length: int, encoding: str) -> bytes:
    """What stands in its place: as many bytes, as harmless as can be in that encoding."""
    unit = _FILLINGS.get(encoding, b"0")
    return unit * (length // len(unit))


def _text_of(value: Any) -> str:
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if is_whole else str(value)


def _neighbours(content: bytes, start: int, end: int, encoding: str) -> tuple[int, int]:
    """The characters before and behind, as bytes; -1 where there is none, or no ASCII."""
    if encoding in ("utf-16-le", "utf-16-be"):
        return _wide_neighbours(content, start, end, is_little=encoding == "utf-16-le")
    if encoding == "hex":
        before = content[start - 2 : start] if start > 1 else b""
        return _of_hex(before), _of_hex(content[end : end + 2])
    if encoding == "url":
        before = content[start - 3 : start] if start > 2 else content[:start]
        return _last_of_url(before), _first_of_url(content[end : end + 3])
    return (content[start - 1] if start else -1), (content[end] if end < len(content) else -1)


def _wide_neighbours(content: bytes, start: int, end: int, *, is_little: bool) -> tuple[int, int]:
    """Neighbours in UTF-16. Text of one order, read one byte off, is text of the other."""
    around = [
        content[at] if 0 <= at < len(content) else -1 for at in (start - 2, start - 1, end, end + 1)
    ]
    before_2, before_1, behind_0, behind_1 = around
    if is_little:
        is_wide = behind_1 == 0 or before_1 == 0
        return (before_2 if before_1 == 0 else -1), (behind_0 if is_wide else -1)
    is_wide = before_2 == 0 or behind_0 == 0
    return (before_1 if is_wide else -1), (behind_1 if behind_0 == 0 else -1)


def _of_hex(pair: bytes) -> int:
    return int(pair, 16) if re.fullmatch(rb"[0-9a-fA-F]{2}", pair) else -1


def _last_of_url(text: bytes) -> int:
    decoded = unquote_to_bytes(text)
    return decoded[-1] if decoded else -1


def _first_of_url(text: bytes) -> int:
    decoded = unquote_to_bytes(text)
    return decoded[0] if decoded else -1


def _decoded(run: bytes) -> bytes:
    try:
        return base64.b64decode(run + b"A" * (-len(run) % 4))
    except binascii.Error:
        return b""
