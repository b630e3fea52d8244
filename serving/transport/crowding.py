"""Overload at the door: requests that are sent away before they cost anything, and deadlines.

A request that would have to wait for too long is answered from bytes that are ready: it is
neither parsed nor given a task. That costs a tenth of an answer, so a service that is asked for
three times what it can do still does nearly all that it can.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from serving.engine.deadline import Deadline, current
from serving.engine.gate import Gate
from serving.errors import BusyError, UnreadableTimeoutError
from serving.telemetry.tracing import REQUEST_ID, lines_of, trace_of
from serving.transport.head_facts import UNREADABLE, facts_of
from serving.transport.known_heads import COUNTED, LENGTH, MOST_KNOWN_BYTES, NOT_PLAIN
from serving.transport.problems import problem

Handler = Callable[[Request], Awaitable[Response]]
DefaultHeaders = list[tuple[bytes, bytes]]

INSIDE = "throughline.inside"
"""Key of a request's scope: the gate has counted it."""
SENT_AWAY = "throughline.sent_away"
"""Key of a request's scope: when it was whole there was no room."""
_EVENTS = "/v1/events/"
_TRACED = re.compile(rb"\r\n(x-request-id|traceparent|tracestate): ?([^\r\n]*)", re.IGNORECASE)


def is_counted(method: str, path: str) -> bool:
    """Whether a request is one for the engine: those that the gate counts.

    Events have a queue of their own, and whoever watches over us is never sent away.
    """
    return method == "POST" and not path.startswith(_EVENTS)


class PlainHead(NamedTuple):
    """What is known of the head of one plain request for the engine.

    ``n_body`` bytes come behind it; ``traced`` are its headers about its id and trace.
    """

    n_body: int
    traced: tuple[tuple[bytes, bytes], ...]


def plain_head(head: bytes) -> PlainHead | None:
    r"""What a head says, up to its last line's end; None of what is to be parsed.

    Examples
    --------
    >>> line = b"POST /v1/fraud/predictions HTTP/1.1\r\n"
    >>> plain_head(line + b"Content-Length: 2\r\nX-Request-ID: order-7\r\n")
    PlainHead(n_body=2, traced=((b'x-request-id', b'order-7'),))
    >>> plain_head(line + b"Transfer-Encoding: chunked\r\n") is None
    True
    """
    if COUNTED.match(head) is None:
        return None
    length = LENGTH.search(head)
    if length is None or NOT_PLAIN.search(head) is not None:
        return None
    traced = tuple((name.lower(), value) for name, value in _TRACED.findall(head))
    return PlainHead(int(length[1]), traced)


_known_head = lru_cache(maxsize=256)(plain_head)
"""Whoever asks again and again says the same, but for its body."""


def busy() -> BusyError:
    """More is asked than can be answered soon."""
    return BusyError(
        "the service is asked for more than it can answer in time",
        remedy="come back after Retry-After; ask more slowly, or start more workers",
    )


def check_room(scope: Scope) -> None:
    """Return where there was room for a request when it was whole; BusyError else."""
    if SENT_AWAY in scope:
        raise busy()


async def in_time(handler: Handler, gate: Gate, request: Request) -> Response:
    """The handler's answer, in the time that the caller gives.

    Raises
    ------
    UnreadableTimeoutError
        If it gives a time that is none.
    LateError
        If it would not come in that time: at once where the gate knows, else when it is up.
    """
    timeout_ms = facts_of(request.scope).timeout_ms
    if timeout_ms is None:
        return await handler(request)
    if timeout_ms == UNREADABLE:
        raise UnreadableTimeoutError(
            "the header x-request-timeout-ms cannot be read",
            remedy="send it once, as a whole number of milliseconds above 0",
        )
    deadline = Deadline(timeout_ms, gate.now_s + timeout_ms / 1_000)
    if gate.expected_s * 1_000 >= timeout_ms:
        raise deadline.late()
    carried = current.set(deadline)
    try:
        async with asyncio.timeout(timeout_ms / 1_000):
            answer = await handler(request)
    except TimeoutError:
        raise deadline.late() from None
    finally:
        current.reset(carried)
    deadline.check(gate.now_s)  # what kept the loop busy kept the timer from firing, too
    return answer


class Refusals:
    """Answers to those who are sent away, from bytes that are made once."""

    def __init__(self) -> None:
        answer = problem(busy(), is_v2=True)  # for all: the word of `/v2` hurts nobody else
        self._answer = STATUS_LINE[answer.status_code] + lines_of(answer.raw_headers)
        self._body = b"\r\n" + bytes(answer.body)
        self._default_headers: DefaultHeaders = []
        self._head = self._answer
        # An id of its own for each: a part of chance, the same for this process, and a number.
        self._ids = b"%s: %s" % (REQUEST_ID, os.urandom(8).hex().encode())
        self._n = 0

    def to(self, data: bytes, default_headers: DefaultHeaders) -> bytes | None:
        """Answer to one plain whole request for the engine; None where it is anything else.

        ``default_headers`` are the server's own; another list as soon as they change.
        """
        end = data.find(b"\r\n\r\n") + 2
        known = _known_head(data[:end]) if end < MOST_KNOWN_BYTES else plain_head(data[:end])
        if known is None:
            return None
        n_body, traced = known
        if end + 2 + n_body != len(data):
            return None
        if default_headers is not self._default_headers:  # a date among them, once a second
            self._default_headers = default_headers
            self._head = self._answer + lines_of(default_headers)
        if traced:
            return self._head + trace_of(traced).lines() + self._body
        self._n += 1
        return b"%b%b%016x\r\n%b" % (self._head, self._ids, self._n, self._body)
