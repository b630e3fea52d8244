"""An identifier as it may stand in bytes: what a search for a person has to look for."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

from core.errors import InvalidInputError

SHORTEST = 4
"""Characters of an identifier below which chance alone finds it in any large file."""

_INT64_FROM = 2**24
_INT64_END = 2**63


def needles(identifier: str) -> dict[bytes, str]:
    r"""Byte strings that give an identifier away, each with the name of its encoding.

    An entity's key and a frame put lengths before the UTF-8 bytes, so those find them too. Of
    base64 three strings are sought, since what stands before shifts it; the characters that
    neighbours share are left out.

    Parameters
    ----------
    identifier
        At least `SHORTEST` characters.

    Raises
    ------
    InvalidInputError
        If it is shorter, or not valid Unicode.

    Examples
    --------
    >>> found = needles("card-7")
    >>> found[b"card-7"], found[b"c\x00a\x00r\x00d\x00-\x007\x00"], found[b"636172642d37"]
    ('utf-8', 'utf-16-le', 'hex')
    """
    plain = _utf8(identifier)
    found: dict[bytes, str] = {}
    for name, needle in (
        ("utf-8", plain),
        ("utf-16-le", identifier.encode("utf-16-le")),
        ("utf-16-be", identifier.encode("utf-16-be")),
        ("hex", plain.hex().encode()),
        ("hex", plain.hex().upper().encode()),
        ("json", json.dumps(identifier)[1:-1].encode()),
        ("json", json.dumps(identifier)[1:-1].upper().replace("\\U", "\\u").encode()),
        ("url", quote(identifier, safe="").encode()),
        ("url", quote(identifier, safe="").lower().encode()),
        ("url", "".join(f"%{byte:02X}" for byte in plain).encode()),
        ("url", "".join(f"%{byte:02x}" for byte in plain).encode()),
        *(("base64", needle) for needle in _base64(plain)),
        *(("int64", needle) for needle in _int64(identifier)),
    ):
        found.setdefault(needle, name)
    return found


def _utf8(identifier: str) -> bytes:
    if len(identifier) < SHORTEST:
        raise InvalidInputError(
            "an identifier is too short to be found in bytes",
            found=f"{len(identifier)} characters",
            remedy=f"search by bytes finds chance alone below {SHORTEST}; ask the tables",
            code="short_identifier",
        )
    try:
        return identifier.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "an identifier is not valid Unicode", remedy="give text that UTF-8 can carry"
        ) from error


def _base64(plain: bytes) -> list[bytes]:
    """The characters of base64 that depend on ``plain`` alone, for each of three shifts."""
    found = []
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + plain)
        first = (8 * shift + 5) // 6
        end = 8 * (shift + len(plain)) // 6
        for needle in (encoded[first:end], encoded[first:end].translate(_URL_SAFE)):
            found.append(needle)
    return found


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _int64(identifier: str) -> list[bytes]:
    """Eight bytes of a number, both ways round; smaller ones stand everywhere by chance."""
    is_number = (
        identifier.isascii() and identifier.isdecimal() and str(int(identifier)) == identifier
    )
    if not is_number or not _INT64_FROM <= int(identifier) < _INT64_END:
        return []
    return [int(identifier).to_bytes(8, "little"), int(identifier).to_bytes(8, "big")]
