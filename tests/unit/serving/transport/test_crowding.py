from __future__ import annotations

import asyncio
import json

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from core.clock import FixedClock
from serving.engine.gate import LAPS, MEASURED, Gate
from serving.errors import LateError, UnreadableTimeoutError
from serving.transport.crowding import Refusals, in_time, is_counted
from serving.transport.head_facts import LONGEST_MS, UNREADABLE, timeout_ms_of
from serving.transport.problems import status_of

LINE = b"POST /v1/fraud/predictions HTTP/1.1\r\n"


@pytest.mark.parametrize(
    ("data", "is_whole"),
    [
        (LINE + b"content-length: 2\r\n\r\n{}", True),
        (LINE + b"Host: x\r\nCONTENT-LENGTH:2\r\nA: b\r\n\r\n{}", True),
        (b"POST /v2/models/fraud/infer HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}", True),
        (LINE + b"content-length: 3\r\n\r\n{}", False),
        # Whoever speaks HTTP/1.0 waits for the end of the connection, not for a length.
        (LINE.replace(b"1.1", b"1.0") + b"content-length: 2\r\n\r\n{}", False),
        (LINE + b"content-length: 2\r\n\r\n{}P", False),
        (LINE + b"content-length: 2\r\n\r\n{}" + LINE, False),
        (LINE + b"content-length: 2\r\n", False),
        (LINE + b"\r\n{}", False),
        (LINE + b"content-length: x\r\n\r\n{}", False),
        (LINE + b"content-length: 9999999999\r\n\r\n{}", False),
        (LINE + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n{}", False),
        (LINE + b"connection: close\r\ncontent-length: 2\r\n\r\n{}", False),
        (LINE + b"Connection: Keep-Alive\r\ncontent-length: 2\r\n\r\n{}", True),
        (LINE + b"connection: keep-alive, close\r\ncontent-length: 2\r\n\r\n{}", False),
        (LINE + b"expect: 100-continue\r\ncontent-length: 0\r\n\r\n", False),
        (b"POST /v1/events/payments HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}", False),
        (b"GET /livez HTTP/1.1\r\n\r\n", False),
        (b"", False),
    ],
)
def test_only_a_plain_request_that_is_whole_is_sent_away_unparsed(data, is_whole):
    refusals = Refusals()
    for _ in range(2):  # the second time its head is known
        assert (refusals.to(data, []) is not None) == is_whole


def test_events_and_whoever_watches_are_not_counted():
    assert is_counted("POST", "/v1/fraud/predictions")
    assert is_counted("POST", "/v2/models/fraud/infer")
    assert not is_counted("POST", "/v1/events/payments")
    assert not is_counted("GET", "/readyz")


@pytest.mark.parametrize(
    ("value", "timeout_ms"),
    [
        (b"1", 1),
        (b"250", 250),
        (b"0250", 250),
        (b" 250\t", 250),
        (b"999999999", LONGEST_MS),
        (b"1" * 5_000, LONGEST_MS),
        (b"", UNREADABLE),
        (b"0", UNREADABLE),
        (b"000", UNREADABLE),
        (b"-5", UNREADABLE),
        (b"+5", UNREADABLE),
        (b"1.5", UNREADABLE),
        (b"2e2", UNREADABLE),
        (b"250, 250", UNREADABLE),
        ("٣".encode(), UNREADABLE),
    ],
)
def test_a_timeout_is_a_plain_number_above_zero(value, timeout_ms):
    assert timeout_ms_of([(b"a", b"b"), (b"x-request-timeout-ms", value)]) == timeout_ms


def test_a_timeout_that_comes_twice_is_none_that_can_be_read():
    assert timeout_ms_of([(b"x-request-timeout-ms", b"250")] * 2) == UNREADABLE
    assert timeout_ms_of([]) is None


def refused(refusals, *headers, default_headers=()):
    """Status line, headers and problem of the answer to who is sent away."""
    request = LINE + b"".join(b"%b\r\n" % each for each in headers) + b"content-length: 2\r\n\r\n{}"
    head, _, body = refusals.to(request, default_headers).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    found = dict(line.split(b": ", 1) for line in lines[1:])
    assert int(found[b"content-length"]) == len(body)
    return lines[0], found, json.loads(body)


def test_the_ready_refusal_is_a_problem():
    line, headers, found = refused(Refusals())
    assert line.startswith(b"HTTP/1.1 503")
    assert headers[b"retry-after"] == b"1"
    assert headers[b"content-type"] == b"application/problem+json"
    assert (found["code"], found["status"], found["retryable"]) == ("busy", 503, True)
    assert found["error"] == found["detail"]  # by which clients below `/v2` know it


def test_every_refusal_has_the_id_that_its_request_came_with_or_a_fresh_one():
    refusals, given = Refusals(), b"X-Request-Id: order-7"
    parent = b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert refused(refusals, given)[1][b"x-request-id"] == b"order-7"
    spans = {refused(refusals, given, parent)[1][b"traceparent"] for _ in range(3)}
    assert len(spans) == 3
    assert all(span.startswith(parent[13:48]) for span in spans)
    fresh = {refused(refusals)[1][b"x-request-id"] for _ in range(3)}
    fresh |= {refused(Refusals())[1][b"x-request-id"]}
    assert len(fresh) == 4
    assert {len(each) for each in fresh} == {32}


def test_a_refusal_has_the_server_s_headers_of_now():
    refusals = Refusals()
    for date in (b"one", b"two"):
        assert refused(refusals, default_headers=[(b"date", date)])[1][b"date"] == date


async def quick(_request):
    return PlainTextResponse("quick")


async def never(_request):
    await asyncio.Event().wait()


def answered(handler, timeout=None, gate=None):
    """What comes of a handler for a caller who waits for so long."""
    headers = [] if timeout is None else [(b"x-request-timeout-ms", timeout)]
    gate = gate or Gate(FixedClock(0), most=100, patience_ms=50)
    request = Request({"type": "http", "headers": headers})
    return asyncio.run(in_time(handler, gate, request)).body


def test_an_answer_that_takes_longer_than_its_caller_waits_is_refused():
    with pytest.raises(LateError, match="20 ms") as refused:
        answered(never, b"20")
    assert (refused.value.code, refused.value.is_retryable) == ("late", True)


def test_what_cannot_be_answered_in_time_is_refused_at_once():
    clock = FixedClock(0)
    gate = Gate(clock, most=100, patience_ms=50)
    for _ in range(20):
        gate.enter()
    for _ in range(LAPS * MEASURED):
        clock.advance(2)
        gate.leave()
        gate.enter()
    with pytest.raises(LateError):
        answered(quick, b"40", gate)
    assert answered(quick, b"41", gate) == b"quick"


@pytest.mark.parametrize("timeout", [b"soon", b"0", b"-1"])
def test_a_timeout_that_cannot_be_read_is_refused_before_anything_is_done(timeout):
    with pytest.raises(UnreadableTimeoutError, match="whole number of milliseconds") as refused:
        answered(never, timeout)
    assert status_of(refused.value) == 400


@pytest.mark.parametrize("timeout", [None, b"5000"])
def test_whoever_gives_enough_time_or_says_nothing_is_answered(timeout):
    assert answered(quick, timeout) == b"quick"
