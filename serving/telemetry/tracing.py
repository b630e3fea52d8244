"""Who asked, in which trace: the id of a request, and W3C trace context taken and given on.

A caller's ``traceparent`` says in which trace it asks and which span of it; the request is a
span of its own below that one. Without one, or with one that cannot be read, there is no trace:
the id tells the request, and a trace that nobody follows costs every request its headers.
``tracestate`` belongs to those who trace: it is given on as it came, and kept nowhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from contextvars import ContextVar
from typing import NamedTuple

REQUEST_ID, TRACEPARENT, TRACESTATE = b"x-request-id", b"traceparent", b"tracestate"
MAX_STATE_BYTES = 512

_SAFE_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE = re.compile(rb"[\x20-\x7e]+")
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16

Headers = Collection[tuple[bytes, bytes]]


class Trace(NamedTuple):
    """One request among others; but for its id all is empty where its caller traces nothing.

    ``span_id`` is the request's own span, ``parent_id`` the caller's.
    """

    request_id: str
    trace_id: str = ""
    span_id: str = ""
    parent_id: str = ""
    flags: str = ""
    state: bytes = b""

    @property
    def traceparent(self) -> str | None:
        """What whoever is asked in turn, and whoever asked, gets."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}" if self.trace_id else None

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of the answer."""
        given = [(REQUEST_ID, self.request_id.encode())]
        if self.traceparent is not None:
            given.append((TRACEPARENT, self.traceparent.encode()))
        return [*given, (TRACESTATE, self.state)] if self.state else given

    def lines(self) -> bytes:
        """The same, as they are sent."""
        if self.trace_id:
            return lines_of(self.headers())
        return b"x-request-id: %b\r\n" % self.request_id.encode()  # of nearly all


current: ContextVar[Trace | None] = ContextVar("trace", default=None)
"""The trace of the request that is being answered; whoever starts a task takes it along."""


def trace_of(headers: Headers) -> Trace:
    """Trace of a request by its headers, which have lower names.

    Examples
    --------
    >>> parent = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    >>> trace = trace_of([(b"traceparent", parent), (b"x-request-id", b"order-17")])
    >>> trace.request_id, trace.trace_id, trace.parent_id, trace.flags
    ('order-17', '4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', '01')
    >>> len(trace.span_id), trace_of([(b"traceparent", b"nonsense")]).traceparent
    (16, None)
    """
    if not headers:
        return Trace(os.urandom(16).hex())
    by_name = dict(headers)
    given_id = by_name.get(REQUEST_ID)
    is_safe = given_id is not None and _SAFE_ID.fullmatch(given_id) is not None
    request_id = given_id.decode() if given_id and is_safe else os.urandom(16).hex()
    if TRACEPARENT not in by_name:
        return Trace(request_id)
    parents = _values(headers, TRACEPARENT)
    read = _read(parents[0]) if len(parents) == 1 else None
    if read is None:  # then whatever state came belongs to no trace
        return Trace(request_id)
    trace_id, parent_id, flags = read
    state = _state(_values(headers, TRACESTATE))
    return Trace(request_id, trace_id, os.urandom(8).hex(), parent_id, flags, state)


def _read(parent: bytes) -> tuple[str, str, str] | None:
    """Trace, span and flags of a ``traceparent``, of any version that begins like the first."""
    found = _PARENT.fullmatch(parent)
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    is_unknown = version == b"ff" or (version == b"00" and more is not None)
    if is_unknown or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    # Of flags only "sampled" means something to us; the rest may not be given on.
    return trace_id.decode(), span_id.decode(), f"{int(flags, 16) & 1:02x}"


def _values(headers: Headers, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]


def _state(states: list[bytes]) -> bytes:
    joined = b",".join(state.strip() for state in states)
    return joined if len(joined) <= MAX_STATE_BYTES and _STATE.fullmatch(joined) else b""


def lines_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    r"""Headers as they are sent.

    Examples
    --------
    >>> lines_of([(b"date", b"today"), (b"x-request-id", b"order-17")])
    b'date: today\r\nx-request-id: order-17\r\n'
    """
    return b"".join([b"%b: %b\r\n" % header for header in headers])
