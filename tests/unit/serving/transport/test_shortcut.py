"""The shortcut: exactly the requests that the routes of predictions would have taken."""

from __future__ import annotations

import asyncio

import pytest
from starlette.responses import PlainTextResponse

from core.clock import FixedClock
from serving.engine.gate import Gate
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


def answered(method, path, gate=None, is_inside=False):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http", "method": method, "path": path, "headers": [], "query_string": b"",
    }  # fmt: skip
    if is_inside:
        scope[INSIDE] = True
    handlers = {
        "/v1/": {"predictions": one, "predictions:batch": many},
        "/v2/models/": {"infer": infer},
    }
    gate = gate or gate_of()
    shortcut = Shortcut(
        application, handlers=handlers, limits=HttpSettings(), refused=REFUSED.append,
        sent_away=lambda _head: None, gate=gate,
    )  # fmt: skip
    asyncio.run(shortcut(scope, receive, send))
    return sent[1]["body"].decode()


def gate_of():
    return Gate(FixedClock(0), most=10, patience_ms=50)


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
