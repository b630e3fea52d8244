"""A request whose head is known is taken for what the parser takes it for."""

from __future__ import annotations

import asyncio
import re
from operator import itemgetter
from typing import Any

import msgspec
import pytest
import uvicorn
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.server import ServerState
from written_transport import WrittenTransport

from core.clock import FixedClock
from core.errors import PlatformError
from serving.engine.gate import Gate
from serving.settings import HttpSettings
from serving.telemetry.tracing import current
from serving.transport.body import tensor_body
from serving.transport.door import Door
from serving.transport.head_facts import facts_of
from serving.transport.known_heads import MOST_KNOWN, MOST_KNOWN_BYTES, KnownHeads
from serving.transport.problems import problem
from serving.transport.shortcut import Shortcut
from serving.transport.whole_answers import JsonAnswer

LINE = b"POST /v1/toy/predictions HTTP/1.1\r\n"
PLAIN = LINE + b"Host: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
PARENT = b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"

BODIES = b"{}", b"[]", b"", b"{}P", b"{}" + PLAIN + b"{}", b"{", b"{}" + PLAIN
LINES = (
    LINE,
    b"POST /v1/%74oy/predictions?a=b HTTP/1.1\r\n",
    b"POST /v2/models/toy/infer HTTP/1.1\r\n",
    b"POST /v1/events/toy HTTP/1.1\r\n",
    b"POST /v1/toy/predictions HTTP/1.0\r\n",
    b"GET /livez HTTP/1.1\r\n",
    b"POST http://x/v1/toy/predictions HTTP/1.1\r\n",
)
HEADERS = (
    b"Content-Type: application/json\r\n",
    b"CONTENT-TYPE:text/plain\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Throughline-Contract: 2\r\n",
    b"X-Request-Timeout-Ms: 250\r\n",
    b"X-Request-ID: order-7\r\n",
    b"x-request-id:order-8\r\n",
    b"X-Request-ID: not safe\r\n",
    b"X-REQUEST-ID: shouted\r\n",
    b"X-Request-ID: folded\r\n and more\r\n",
    b"X-Request-ID: \r\n",
    PARENT,
    b"tracestate: a=1\r\n",
    b"Tracestate: a=1, b=2\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: websocket\r\n",
    b"Content-Length: 3\r\n",
    b"X: a\r\n Content-Length: 9\r\n",
    b"Race: traceparent\r\n",
    b"Host: y\r\n",
    b"No-Colon\r\n",
    b"Spaced : x\r\n",
    b"Bare: x\n",
    b"Long: " + b"x" * MOST_KNOWN_BYTES + b"\r\n",
)


class Forgetful(KnownHeads):
    """Meets every head for the first time."""

    def met(self, data):
        del data


async def seen(request: Request) -> Response:
    """An answer that says all that a request is known by."""
    scope, trace = request.scope, current.get()
    assert trace is not None
    try:
        body = await tensor_body(request, max_bytes=99, timeout_ms=1_000)
    except PlatformError as error:
        return problem(error)
    said = {
        **{name: scope[name] for name in ("method", "path", "http_version", "client", "state")},
        "address": (scope["raw_path"] + b"?" + scope["query_string"]).decode("latin-1"),
        "headers": sorted(scope["headers"], key=itemgetter(0)),  # of one name in their order
        "facts": facts_of(scope),
        "trace": [trace.request_id, trace.trace_id, trace.parent_id, trace.flags],
        "params": request.path_params,
        "body": body,
    }
    return JsonAnswer(msgspec.json.encode(said), 200)


async def other(scope, receive, send):
    await JsonAnswer(b'"another"', 404)(scope, receive, send)


async def connected(heads) -> Any:
    """A connection to an application that tells what it sees."""
    handlers: Any = {"/v1/": {"predictions": seen}, "/v2/models/": {"infer": seen}}
    application = Shortcut(
        other, handlers=handlers, limits=HttpSettings(), refused=lambda _code: None,
        sent_away=lambda _head: None, gate=Gate(FixedClock(0), most=100, patience_ms=50),
    )  # fmt: skip
    application.heads = heads
    config = uvicorn.Config(application, lifespan="off", log_config=None, proxy_headers=False)
    config.load()
    config.loaded_app = application  # without uvicorn's own wrapping
    door: Any = Door(config, ServerState(), {"kept": 1}, asyncio.get_running_loop())
    door.connection_made(WrittenTransport())
    return door


async def ask(door, data):
    """Send, and let the loop turn more often than an answer takes."""
    door.data_received(data)
    for _ in range(20):
        await asyncio.sleep(0)


def told(heads, pieces):
    """What a connection says to pieces that come one by one, without the ids that are drawn."""

    async def run():
        door = await connected(heads)
        for data in pieces:
            await ask(door, data)
        said = b"".join(door.transport.written), door.transport.is_closed, door.app.gate.n_inside
        door.connection_lost(None)
        return said

    written, is_closed, n_inside = asyncio.run(run())
    drawn = rb'(x-request-id: |"trace":\["|-[0-9a-f]{32}-)[0-9a-f]{16,32}'
    return re.sub(drawn, rb"\1", written), is_closed, n_inside


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("header", [b"", *HEADERS])
def test_what_is_known_is_answered_as_what_is_parsed(line, header):
    check(line, [header], [b"[]"])


@given(
    line=st.sampled_from(LINES),
    headers=st.lists(st.sampled_from(HEADERS), max_size=4),
    bodies=st.lists(st.sampled_from(BODIES), min_size=1, max_size=4),
)
@example(line=LINE, headers=[*HEADERS[5:7], PARENT], bodies=[b"[]", b"{}"])
def test_so_is_what_comes_in_odd_forms_and_pieces(line, headers, bodies):
    check(line, headers, bodies)


def check(line, headers, bodies):
    head = line + b"Host: x\r\n" + b"".join(headers) + b"Content-Length: 2\r\n\r\n"
    pieces = [head + body for body in [b"{}", b"{}", *bodies]]  # the second time it is learnt
    assert told(KnownHeads(), pieces) == told(Forgetful(), pieces)


@pytest.mark.parametrize(
    "more", [b"", b"X-Request-Id: order-7\r\n", PARENT + b"Tracestate: a=1\r\n"]
)
def test_a_known_head_is_not_parsed_whatever_it_says_of_its_trace(more):
    async def run():
        door = await connected(KnownHeads())
        for _ in range(2):
            await ask(door, PLAIN + b"{}")
        door.parser = None
        await ask(door, PLAIN.replace(b"Host", more + b"Host") + b"[]")
        return [answer.partition(b"\r\n")[0] for answer in door.transport.written]

    assert asyncio.run(run()) == [b"HTTP/1.1 200 OK"] * 3


def test_a_request_that_comes_before_the_answer_to_one_waits_for_it():
    async def run():
        door = await connected(KnownHeads())
        for _ in range(2):
            await ask(door, PLAIN + b"{}")
        door.data_received(PLAIN + b"[]")
        door.data_received(PLAIN + b"{}")
        waiting = len(door.pipeline)
        await ask(door, PLAIN + b"[]")
        return waiting, [b"W10=" in answer for answer in door.transport.written]  # of b"[]"

    assert asyncio.run(run()) == (1, [False, False, True, False, True])


@pytest.mark.parametrize("n_turns", range(6))
def test_whoever_goes_takes_along_all_that_waited_behind_a_request(n_turns):
    async def run():
        door = await connected(Forgetful())
        door.data_received((PLAIN + b"{}") * 9)
        before = door.app.gate.n_inside
        for _ in range(n_turns):
            await asyncio.sleep(0)
        door.transport.is_closed = True
        door.connection_lost(None)
        n_written = len(door.transport.written)
        for _ in range(50):
            await asyncio.sleep(0)
        return before, door.app.gate.n_inside, len(door.transport.written) - n_written

    assert asyncio.run(run()) == (9, 0, 0)


def test_so_many_heads_are_kept_and_no_more():
    heads = KnownHeads()
    asked = [LINE + b"Host: h%d\r\nContent-Length: 0\r\n\r\n" % n for n in range(MOST_KNOWN + 1)]
    for data in asked:
        heads.learn(data, {"headers": []})
    assert heads.met(asked[0]) is None
    assert all(heads.met(data) is not None for data in asked[1:])


def test_a_head_is_learnt_when_it_comes_again(monkeypatch):
    monkeypatch.setattr("serving.transport.known_heads.MOST_ONCE", 2)
    heads = KnownHeads()
    asked = [LINE + b"Host: h%d\r\nContent-Length: 0\r\n\r\n" % n for n in range(3)]
    assert [heads.comes_again(data) for data in (*asked[:2], asked[0])] == [False, False, True]
    assert [heads.comes_again(data) for data in (asked[2], asked[0])] == [False, False]  # forgotten
    assert not any(heads.comes_again(b"POST") for _ in range(2))


def test_what_a_request_does_to_its_headers_is_its_own():
    heads = KnownHeads()
    heads.learn(PLAIN + b"{}", {"headers": [(b"host", b"x")]})
    for _ in range(2):
        met = heads.met(PLAIN + b"{}")
        assert met is not None
        assert met.scope["headers"] == [(b"host", b"x")]
        met.scope["headers"].append((b"a", b"b"))
