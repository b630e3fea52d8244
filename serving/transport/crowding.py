"""Overload at the door: requests that are sent away before they cost anything, and deadlines.

A request that would have to wait for too long is answered from bytes that are ready: it is
neither parsed nor given a task. That costs a tenth of an answer, so a service that is asked for
three times what it can do still does nearly all that it can.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from serving.errors import BusyError, LateError
from serving.gate import Gate
from serving.tracing import trace_of
from serving.transport.problems import problem

Handler = Callable[[Request], Awaitable[Response]]

INSIDE = "throughline.inside"
"""Key of a request's scope: the gate has counted it."""
TIMEOUT_HEADER = b"x-request-timeout-ms"
LONGEST_MS = 3_600_000
_EVENTS = "/v1/events/"
_COUNTED = re.compile(rb"POST /v[12]/(?!events/)")
_LENGTH = re.compile(rb"\r\ncontent-length: ?(\d{1,9})\r\n", re.IGNORECASE)
_TRACED = re.compile(rb"\r\n(x-request-id|traceparent|tracestate): ?([^\r\n]*)", re.IGNORECASE)
_BODY_IN_PARTS = re.compile(rb"\r\n(?:transfer-encoding|expect|upgrade|connection):", re.IGNORECASE)


def is_counted(method: str, path: str) -> bool:
    """Whether a request is one for the engine: those that the gate counts.

    Events have a queue of their own, and whoever watches over us is never sent away.
    """
    return method == "POST" and not path.startswith(_EVENTS)


def is_whole_request(data: bytes) -> bool:
    r"""Whether bytes are one plain request for the engine, from its start to its end.

    Examples
    --------
    >>> head = b"POST /v1/fraud/predictions HTTP/1.1\r\nContent-Length: 2\r\n\r\n"
    >>> is_whole_request(head + b"{}"), is_whole_request(head + b"{"), is_whole_request(head)
    (True, False, False)
    """
    if _COUNTED.match(data) is None:
        return False
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = data[: end + 2]
    length = _LENGTH.search(head)
    if length is None or _BODY_IN_PARTS.search(head) is not None:
        return False
    return end + 4 + int(length[1]) == len(data)


def timeout_ms_of(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
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


def busy() -> BusyError:
    """More is asked than can be answered soon."""
    return BusyError(
        "the service is asked for more than it can answer in time",
        remedy="come back after Retry-After; ask more slowly, or start more workers",
    )


def late(timeout_ms: int) -> LateError:
    """What was asked cannot be answered in the time that the caller gave."""
    return LateError(
        "the answer would not come in time",
        found=f"{timeout_ms} ms to answer in",
        remedy="come back after Retry-After, or wait for longer",
    )


async def in_time(handler: Handler, gate: Gate, request: Request) -> Response:
    """The handler's answer, in the time that the caller gives.

    Raises
    ------
    LateError
        If it would not come in that time: at once where the gate knows, else when it is up.
    """
    timeout_ms = timeout_ms_of(request.scope["headers"])
    if timeout_ms is None:
        return await handler(request)
    if gate.expected_s * 1_000 < timeout_ms:
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                return await handler(request)
        except TimeoutError:
            pass
    raise late(timeout_ms)


class Refusal:
    """The answer to who is sent away, as bytes: made once, for each with its own trace."""

    def __init__(self, default_headers: Iterable[tuple[bytes, bytes]]) -> None:
        answer = problem(busy(), is_v2=True)  # for all: the word of `/v2` hurts nobody else
        lines = _lines((*default_headers, *answer.raw_headers))
        self._head = STATUS_LINE[answer.status_code] + lines
        self._body = b"\r\n" + bytes(answer.body)

    @staticmethod
    @lru_cache(maxsize=8)
    def _made(default_headers: tuple[tuple[bytes, bytes], ...]) -> Refusal:
        return Refusal(default_headers)

    @classmethod
    def of(cls, default_headers: Iterable[tuple[bytes, bytes]]) -> Refusal:
        """Refusal of a server; its own headers, a date among them, change once a second."""
        return cls._made(tuple(default_headers))

    def to(self, request: bytes) -> bytes:
        """Answer to a whole request."""
        head = request[: request.find(b"\r\n\r\n") + 2]
        traced = [(name.lower(), value) for name, value in _TRACED.findall(head)]
        return self._head + _lines(trace_of(traced).headers()) + self._body


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
