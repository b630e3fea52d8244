"""The shortcut: exactly the requests that the routes of predictions would have taken."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.responses import PlainTextResponse

from core.clock import FixedClock
from serving.gate import LAPS, MEASURED, Gate
from serving.settings import HttpSettings
from serving.transport.crowding import INSIDE
from serving.transport.shortcut import Shortcut

REFUSED: list[str] = []


async def application(scope, receive, send):
    await PlainTextResponse("application")(scope, receive, send)


async def one(request):
    return PlainTextResponse(f"one {request.path_params['use_case']}")


async def many(request):
    return PlainTextResponse(f"many {request.path_params['use_case']}")


async def infer(request):
    return PlainTextResponse(f"infer {request.path_params['use_case']}")


async def slow(request):
    await asyncio.sleep(5)
    return PlainTextResponse("slow")


def answered(method, path, kind="http", headers=(), gate=None, is_inside=False):
    return exchanged(method, path, kind, headers, gate, is_inside)[1]["body"].decode()


def exchanged(method, path, kind="http", headers=(), gate=None, is_inside=False):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": kind, "method": method, "path": path, "headers": list(headers), "query_string": b"",
    }  # fmt: skip
    if is_inside:
        scope[INSIDE] = True
    handlers = {
        "/v1/": {"predictions": one, "predictions:batch": many, "slow": slow},
        "/v2/models/": {"infer": infer},
    }
    gate = gate or gate_of()
    shortcut = Shortcut(
        application, handlers=handlers, limits=HttpSettings(), refused=REFUSED.append, gate=gate
    )
    asyncio.run(shortcut(scope, receive, send))
    return sent


def gate_of():
    return Gate(FixedClock(0), most=10, patience_ms=50)


def timeout(value):
    return [(b"x-request-timeout-ms", value)]


@pytest.mark.parametrize(
    ("method", "path", "by"),
    [
        ("POST", "/v1/fraud/predictions", "one fraud"),
        ("POST", "/v1/fraud/predictions:batch", "many fraud"),
        ("POST", "/v1/ä b/predictions", "one ä b"),
        ("GET", "/v1/fraud/predictions", "application"),
        ("POST", "/v1/events/predictions", "application"),  # events of a source of that name
        ("POST", "/v1/fraud/predictions/", "application"),
        ("POST", "/v1/fraud/x/predictions", "application"),
        ("POST", "/v1//predictions", "application"),
        ("POST", "/v2/fraud/predictions", "application"),
        ("POST", "/v2/models/fraud/infer", "infer fraud"),
        ("GET", "/v2/models/fraud/infer", "application"),
        ("POST", "/v2/models/fraud/versions/1/infer", "application"),
        ("POST", "/v2/models/fraud/predictions", "application"),
        ("POST", "/v2/models//infer", "application"),
        ("POST", "/v1/fraud/infer", "application"),
        ("POST", "/fraud/predictions", "application"),
        ("POST", "/predictions", "application"),
        ("POST", "", "application"),
    ],
)
def test_only_what_is_asked_most_is_answered_at_once(method, path, by):
    assert answered(method, path) == by


def test_who_was_counted_leaves_whoever_answered():
    for path in ("/v1/fraud/predictions", "/v1/x"):
        gate = gate_of()
        gate.enter()
        gate.enter()
        answered("POST", path, gate=gate, is_inside=True)
        assert gate.n_inside == 1
        answered("POST", path, gate=gate)
        assert gate.n_inside == 1


def test_an_answer_that_takes_longer_than_its_caller_waits_is_refused():
    start, body = exchanged("POST", "/v1/fraud/slow", headers=timeout(b"20"))
    assert start["status"] == 503
    assert dict(start["headers"])[b"retry-after"] == b"1"
    found = json.loads(body["body"])
    assert (found["code"], found["retryable"]) == ("late", True)
    assert "20 ms" in found["detail"]
    assert REFUSED.pop() == "late"


def test_what_cannot_be_answered_in_time_is_refused_at_once():
    clock = FixedClock(0)
    gate = Gate(clock, most=100, patience_ms=50)
    for _ in range(20):
        gate.enter()
    for _ in range(LAPS * MEASURED):
        clock.advance(2)
        gate.leave()
        gate.enter()
    assert (
        exchanged("POST", "/v1/fraud/slow", headers=timeout(b"40"), gate=gate)[0]["status"] == 503
    )
    assert (
        answered("POST", "/v1/fraud/predictions", headers=timeout(b"41"), gate=gate) == "one fraud"
    )


def test_a_timeout_that_says_nothing_is_none():
    assert answered("POST", "/v1/fraud/predictions", headers=timeout(b"soon")) == "one fraud"
    assert answered("POST", "/v1/fraud/predictions", headers=timeout(b"1000")) == "one fraud"
