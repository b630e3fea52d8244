"""Who asked, in which trace: the id of a request, and W3C trace context taken and given on.

A caller's ``traceparent`` says in which trace it asks and which span of it; the request is a
span of its own below that one. Without one, or with one that cannot be read, a trace begins here.
``tracestate`` belongs to those who trace: it is given on as it came, and kept nowhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

REQUEST_ID, TRACEPARENT, TRACESTATE = b"x-request-id", b"traceparent", b"tracestate"
MAX_STATE_BYTES = 512

_SAFE_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE = re.compile(rb"[\x20-\x7e]+")
_NO_TRACE, _NO_SPAN = b"0" * 32, b"0" * 16

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Trace:
    """One request among others: ``parent_id`` is the caller's span, empty where there is none."""

    request_id: str
    trace_id: str
    span_id: str
    parent_id: str
    flags: str
    state: bytes = b""

    @property
    def traceparent(self) -> str:
        """What whoever is asked in turn, and whoever asked, gets."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of the answer."""
        given = [
            (REQUEST_ID, self.request_id.encode()),
            (TRACEPARENT, self.traceparent.encode()),
        ]
        return [*given, (TRACESTATE, self.state)] if self.state else given


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
    >>> len(trace.span_id), trace_of([(b"traceparent", b"nonsense")]).parent_id
    (16, '')
    """
    given_id = parent = b""
    states: list[bytes] = []
    n_parents = 0
    for name, value in headers:
        if name == TRACEPARENT:
            parent, n_parents = value, n_parents + 1
        elif name == REQUEST_ID:
            given_id = value
        elif name == TRACESTATE:
            states.append(value)
    fresh = os.urandom(40).hex()
    request_id = given_id.decode() if _SAFE_ID.fullmatch(given_id) else fresh[:32]
    read = _read(parent) if n_parents == 1 else None
    if read is None:  # then whatever state came belongs to no trace
        return Trace(request_id, fresh[32:64], fresh[64:], "", "00")
    trace_id, parent_id, flags = read
    return Trace(request_id, trace_id, fresh[64:], parent_id, flags, _state(states))


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


def _state(states: list[bytes]) -> bytes:
    joined = b",".join(state.strip() for state in states)
    return joined if len(joined) <= MAX_STATE_BYTES and _STATE.fullmatch(joined) else b""
