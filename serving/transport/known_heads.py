"""Heads of requests that were parsed before: whoever asks again says the same, but for the body.

A head is learnt from the parser and from nothing else: bytes that it took for the head of one
whole, plain request mean the same when they come again where a request begins. So what is checked
of a head is checked once, and a request whose head is known is not parsed. The headers that name a
request and its trace differ each time; they are taken out first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import Struct

Scope = Mapping[str, Any]

WHOLE_BODY = "throughline.body"
"""Key of a request's scope: its body, where all of it came with its head."""
MOST_KNOWN_BYTES = 1_024
"""Longer heads are parsed each time, and `MOST_KNOWN` are kept: nobody fills our memory."""
MOST_KNOWN = 1_024
MOST_ONCE = 4_096
"""Heads that came once, of which a number is kept: to learn one that does not come again costs as
much as to parse it."""

COUNTED = re.compile(rb"POST /v[12]/(?!events/)[^ ]* HTTP/1\.1\r\n")
LENGTH = re.compile(rb"\r\ncontent-length: ?(\d{1,9})\r\n", re.IGNORECASE)
NOT_PLAIN = re.compile(
    rb"\r\n(?:(?:transfer-encoding|expect|upgrade):|connection:(?! ?keep-alive\r\n))",
    re.IGNORECASE,
)
"""A connection that is kept alive is one as all are; many clients say so with each request."""
_TRACED = re.compile(
    rb"\r\n(x-request-id|traceparent|tracestate): ?([\x21-\x7e]{0,256})(?=\r\n[^ \t])",
    re.IGNORECASE,
)
_TRACED_LEFT = re.compile(rb"\r\n(?:x-request-id|traceparent|tracestate):", re.IGNORECASE)
_HINTS = b"equest-", b"race"  # nearly everybody writes the names so; who does not is parsed
_OF_A_HEAD = frozenset(
    ("type", "asgi", "http_version", "root_path", "method", "path", "raw_path", "query_string")
)


class Known(NamedTuple):
    """What a head means: of its scope what is not its connection's, and how long its body is."""

    scope: dict[str, Any]
    n_body: int


class Met(Struct, gc=False):
    """A whole request whose head is known. ``traced`` are its headers about its id and trace."""

    scope: dict[str, Any]
    traced: list[tuple[bytes, bytes]]
    body: bytes


class KnownHeads:
    r"""Heads that were learnt; the oldest goes when there are too many.

    Examples
    --------
    >>> head = b"POST /v1/toy/predictions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
    >>> heads = KnownHeads()
    >>> heads.met(head + b"{}") is None
    True
    >>> heads.learn(head + b"{}", {"path": "/v1/toy/predictions", "headers": [(b"host", b"x")]})
    >>> heads.met(head + b"[]").body
    b'[]'
    >>> heads.met(head + b"[]more") is None
    True
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}
        self._once: set[int] = set()

    def met(self, data: bytes) -> Met | None:
        """The one whole request that ``data`` is, if its head is known."""
        end = data.find(b"\r\n\r\n", 0, MOST_KNOWN_BYTES)
        if end < 0:
            return None
        head, traced = _cut(data[: end + 4])
        known = self._known.get(head)
        if known is None or len(data) != end + 4 + known.n_body:
            return None
        scope = known.scope.copy()
        scope["headers"] = [*scope["headers"], *traced]  # each request has its own
        return Met(scope, traced, data[end + 4 :])

    def comes_again(self, data: bytes) -> bool:
        """Whether this head was asked about before: one that comes once is not worth knowing."""
        end = data.find(b"\r\n\r\n", 0, MOST_KNOWN_BYTES)
        number = hash(_cut(data[: end + 4])[0])
        if number in self._once:
            return end >= 0
        if len(self._once) >= MOST_ONCE:
            self._once.clear()
        self._once.add(number)
        return False

    def learn(self, data: bytes, scope: Scope, more: Scope | None = None) -> None:
        """Keep the head of ``data``, if it is plain; the parser took all of that for one request.

        Parameters
        ----------
        scope
            What the parser made of it.
        more
            What else is known of such a request.
        """
        end = data.find(b"\r\n\r\n", 0, MOST_KNOWN_BYTES)
        head, traced = _cut(data[: end + 4])
        length = LENGTH.search(head)
        if end < 0 or length is None or len(data) != end + 4 + int(length[1]):
            return
        if NOT_PLAIN.search(head) or _TRACED_LEFT.search(head):
            return
        names = {name for name, _ in traced}
        kept = {name: value for name, value in scope.items() if name in _OF_A_HEAD}
        kept["headers"] = [each for each in scope["headers"] if each[0] not in names]
        while len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[head] = Known(kept | dict(more or {}), int(length[1]))


def _cut(head: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A head without its headers about id and trace, and those."""
    if _HINTS[0] not in head and _HINTS[1] not in head:
        return head, []
    traced = [(name.lower(), value) for name, value in _TRACED.findall(head)]
    return (_TRACED.sub(b"", head) if traced else head), traced
