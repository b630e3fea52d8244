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


class HeadFacts(NamedTuple):
    """``is_plain_json`` is whether a body is JSON, spelt as nearly all spell it, and not packed.

    ``contract`` is the one that the caller says it speaks.
    """

    is_plain_json: bool
    timeout_ms: int | None
    contract: str | None


def facts_of(scope: MutableMapping[str, Any]) -> HeadFacts:
    """Facts of a request, kept in its scope.

    Examples
    --------
    >>> facts_of({"headers": [(b"content-type", b"application/json")]})
    HeadFacts(is_plain_json=True, timeout_ms=None, contract=None)
    """
    found: HeadFacts | None = scope.get(FACTS)
    if found is None:
        headers = scope["headers"]
        given = by_name(headers)
        said = given.get(CONTRACT.encode())
        found = scope[FACTS] = HeadFacts(
            given.get(b"content-type") == b"application/json" and b"content-encoding" not in given,
            timeout_ms_of(headers),
            None if said is None else said.decode("latin-1"),
        )
    return found


def by_name(headers: Headers) -> dict[bytes, bytes]:
    """Headers by name; of one that comes twice the first, as everywhere."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found.setdefault(name, value)
    return found


def timeout_ms_of(headers: Headers) -> int | None:
    """How long the caller waits for its answer, as it says; None where it says nothing sensible.

    Examples
    --------
    >>> timeout_ms_of([(b"x-request-timeout-ms", b"250")]), timeout_ms_of([])
    (250, None)
    """
    for name, value in headers:
        if name == TIMEOUT_HEADER:
            return min(int(value), LONGEST_MS) if value.isdigit() and len(value) < 10 else None
    return None
