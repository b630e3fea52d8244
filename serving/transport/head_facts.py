"""What the headers of a request say about its body and its answer, read once.

A scope whose head was met before (`serving.transport.known_heads`) has them from then.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any, NamedTuple

from serving.engine.speaking import HEADER as CONTRACT

Headers = Iterable[tuple[bytes, bytes]]

FACTS = "throughline.facts"
"""Key of a request's scope."""
TIMEOUT_HEADER = b"x-request-timeout-ms"
LONGEST_MS = 3_600_000
UNREADABLE = 0
"""Stands for a time that is none; nobody can be answered in no time."""
N_JSON_HEADER = b"inference-header-content-length"
_KEY_HEADER = b"authorization"
_DIGITS = 9  # of a number; more of them are more than the longest, too


class HeadFacts(NamedTuple):
    """``is_plain_json`` is whether a body is JSON, spelt as nearly all spell it, and not packed.

    ``timeout_ms`` is `UNREADABLE` where it says none that is taken. ``contract`` is the one that
    the caller says it speaks, ``keys`` what it shows of keys, and ``n_json`` how much of the body
    it says to be JSON; all as they were sent.
    """

    is_plain_json: bool
    timeout_ms: int | None = None
    contract: str | None = None
    keys: tuple[str, ...] = ()
    n_json: str | None = None


def facts_of(scope: MutableMapping[str, Any]) -> HeadFacts:
    """Facts of a request, kept in its scope.

    Examples
    --------
    >>> facts_of({"headers": [(b"content-type", b"application/json")]})
    HeadFacts(is_plain_json=True, timeout_ms=None, contract=None, keys=(), n_json=None)
    """
    found: HeadFacts | None = scope.get(FACTS)
    if found is None:
        headers = scope["headers"]
        given = by_name(headers)
        keys = tuple(value.decode("latin-1") for name, value in headers if name == _KEY_HEADER)
        found = scope[FACTS] = HeadFacts(
            given.get(b"content-type") == b"application/json" and b"content-encoding" not in given,
            timeout_ms_of(headers),
            _text(given.get(CONTRACT.encode())),
            keys,
            _text(given.get(N_JSON_HEADER)),
        )
    return found


def by_name(headers: Headers) -> dict[bytes, bytes]:
    """Headers by name; one that comes again is the list of its values, as HTTP has it.

    So no caller is answered by one of two types or contracts that it did not mean: a list of
    them is none of those that are taken.

    Examples
    --------
    >>> by_name([(b"throughline-contract", b"1"), (b"throughline-contract", b"2")])
    {b'throughline-contract': b'1, 2'}
    """
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found[name] = b"%b, %b" % (found[name], value) if name in found else value
    return found


def timeout_ms_of(headers: Headers) -> int | None:
    """How long the caller waits for its answer, at most `LONGEST_MS`; None where it does not say.

    `UNREADABLE` where it says it twice, or by anything but a positive number of milliseconds.

    Examples
    --------
    >>> timeout_ms_of([(b"x-request-timeout-ms", b"250")]), timeout_ms_of([])
    (250, None)
    >>> [timeout_ms_of([(b"x-request-timeout-ms", each)]) for each in (b"0", b"soon", b"9" * 99)]
    [0, 0, 3600000]
    """
    said = [value.strip(b" \t") for name, value in headers if name == TIMEOUT_HEADER]
    if not said:
        return None
    if len(said) > 1 or not said[0].isdigit():
        return UNREADABLE
    digits = said[0].lstrip(b"0")
    return min(int(digits[:_DIGITS] or b"0"), LONGEST_MS)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
