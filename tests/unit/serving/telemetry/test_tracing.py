"""W3C trace context: what is taken, what is given on, and what is not believed."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.scrubbing import Scrubber
from serving.telemetry.log_lines import JsonLines
from serving.telemetry.tracing import MAX_STATE_BYTES, Trace, current, trace_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()


def test_the_request_is_a_span_of_its_own_below_its_caller_s():
    trace = trace_of([(b"traceparent", PARENT), (b"tracestate", b"a=1"), (b"tracestate", b"b=2")])
    assert (trace.trace_id, trace.parent_id) == (TRACE, SPAN)
    assert trace.span_id not in (SPAN, "0" * 16)
    given = dict(trace.headers())
    assert given[b"traceparent"] == f"00-{TRACE}-{trace.span_id}-01".encode()
    assert given[b"tracestate"] == b"a=1,b=2"
    assert trace_of([(b"traceparent", given[b"traceparent"])]).parent_id == trace.span_id


@pytest.mark.parametrize(
    ("parent", "flags"),
    [
        (PARENT, "01"),
        (PARENT[:-2] + b"00", "00"),
        (PARENT[:-2] + b"ff", "01"),
        (b"01" + PARENT[2:], "01"),
        (b"cc" + PARENT[2:] + b"-what-later-versions-say", "01"),
    ],
)
def test_what_can_be_read_is_taken(parent, flags):
    trace = trace_of([(b"traceparent", parent)])
    assert (trace.trace_id, trace.parent_id, trace.flags) == (TRACE, SPAN, flags)


@pytest.mark.parametrize(
    "parent",
    [
        b"",
        b"nonsense",
        PARENT.upper(),
        PARENT[:-1],
        PARENT + b"-more",
        PARENT + b"x",
        b"ff" + PARENT[2:],
        b"00-" + b"0" * 32 + PARENT[35:],
        PARENT[:36] + b"0" * 16 + b"-01",
        b" " + PARENT,
    ],
)
def test_what_cannot_be_read_is_no_trace(parent):
    trace = trace_of([(b"traceparent", parent), (b"tracestate", b"a=1")])
    assert trace.traceparent is None
    assert [name for name, _ in trace.headers()] == [b"x-request-id"]


def test_two_parents_are_none():
    assert trace_of([(b"traceparent", PARENT)] * 2).traceparent is None


@pytest.mark.parametrize(
    "state", [b"x" * (MAX_STATE_BYTES + 1), b"a=\xff", b"a=1\r\nSet-Cookie: b", b""]
)
def test_a_state_that_may_not_be_given_on_is_dropped(state):
    trace = trace_of([(b"traceparent", PARENT), (b"tracestate", state)])
    assert b"tracestate" not in dict(trace.headers())
    assert trace.trace_id == TRACE


def test_an_id_is_kept_where_it_is_safe_and_else_is_fresh():
    assert trace_of([(b"x-request-id", b"order-17/a")]).request_id == "order-17/a"
    for given_id in (b"", b"two words", b"a\r\nb", b"\xff", b"x" * 129):
        fresh = trace_of([(b"x-request-id", given_id)]).request_id
        assert len(fresh) == 32
    assert len({trace_of([]).request_id for _ in range(1_000)}) == 1_000


def test_a_line_of_the_log_says_which_request_it_is_about():
    lines = JsonLines("service", Scrubber([]))
    record = logging.LogRecord("throughline", logging.INFO, "", 0, "said", None, None)
    before = current.set(None)
    assert "request_id" not in json.loads(lines.format(record))
    current.set(trace_of([(b"x-request-id", b"order-17"), (b"traceparent", PARENT)]))
    said = json.loads(lines.format(record))
    assert (said["request_id"], said["trace_id"]) == ("order-17", TRACE)
    current.set(trace_of([(b"x-request-id", b"order-18")]))
    assert "trace_id" not in json.loads(lines.format(record))
    current.reset(before)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"traceparent", b"tracestate", b"x-request-id", b"host"]),
            st.binary(max_size=80),
        )
    )
)
def test_whatever_comes_the_answer_s_headers_are_safe(headers):
    trace = trace_of(headers)
    assert isinstance(trace, Trace)
    for _, value in trace.headers():
        assert value.isascii()
        assert not {b"\r"[0], b"\n"[0], 0}.intersection(value)
