"""The door: who is sent away unparsed, and how long their connection may rest then."""

from __future__ import annotations

import asyncio
import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from uvicorn.server import ServerState
from written_transport import WrittenTransport

from core.errors import PlatformError
from serving.settings import HttpSettings
from serving.transport.body import tensor_body
from serving.transport.crowding import Refusals
from serving.transport.door import Door
from serving.transport.known_heads import MOST_KNOWN_BYTES, KnownHeads
from serving.transport.problems import problem
from serving.transport.whole_answers import JsonAnswer

HEAD = b"POST /v1/toy/predictions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
HEADER_S, KEEP_ALIVE_S = 10, 30


class Loop:
    """A loop whose time passes when it is told to."""

    def __init__(self):
        self.now_s, self.timers = 0.0, []

    def time(self):
        return self.now_s

    def call_later(self, delay_s, callback):
        timer = SimpleNamespace(at_s=self.now_s + delay_s, callback=callback)

        def cancel():
            self.timers = [each for each in self.timers if each is not timer]

        timer.cancel = cancel
        self.timers.append(timer)
        return timer

    def advance(self, seconds):
        end_s = self.now_s + seconds
        while due := [timer for timer in self.timers if timer.at_s <= end_s]:
            timer = min(due, key=lambda each: each.at_s)
            self.timers.remove(timer)
            self.now_s = timer.at_s
            timer.callback()
        self.now_s = end_s


class Application:
    """What a door asks of its application; it has no answers."""

    limits = HttpSettings(header_timeout_ms=HEADER_S * 1_000, keep_alive_s=KEEP_ALIVE_S)

    def __init__(self):
        self.gate = SimpleNamespace(is_full=True, enter=lambda: None, leave=lambda: None)
        self.refusals, self.heads, self.turns = Refusals(), KnownHeads(), None
        self.codes: list[str] = []
        self.sent: list[bytes] = []

    def refused(self, code):
        self.codes.append(code)

    def sent_away(self, head):
        self.sent.append(head)

    def place(self, scope):
        del scope

    async def __call__(self, scope, receive, send):
        """Answer at once, whether or not the body has come."""
        await JsonAnswer(b"{}", 200)(scope, receive, send)


class Reader(Application):
    """One that answers behind the body, if it may."""

    async def __call__(self, scope, receive, send):
        """Answer 200, or by the problem of the body."""
        try:
            await tensor_body(Request(scope, receive), max_bytes=99, timeout_ms=1_000)
        except PlatformError as error:
            await problem(error)(scope, receive, send)
        else:
            await JsonAnswer(b"{}", 200)(scope, receive, send)


def opened(loop, application=Application) -> Any:
    config = uvicorn.Config(application(), lifespan="off", log_config=None, proxy_headers=False)
    config.load()
    config.loaded_app = config.app  # without uvicorn's own wrapping
    door: Any = Door(config, ServerState(), {}, loop)
    door.connection_made(WrittenTransport())
    return door


@pytest.fixture
def door() -> Any:
    return opened(Loop())


async def with_room() -> Any:
    """A door that lets requests in, on the loop that runs."""
    door = opened(asyncio.get_running_loop())
    door.app.gate.is_full = False
    return door


async def answers(door):
    """What was written once the loop has turned more often than an answer takes."""
    for _ in range(20):
        await asyncio.sleep(0)
    return door.transport.written


def test_who_is_sent_away_is_counted_and_answered_without_being_parsed(door):
    door.data_received(HEAD + b"{}")
    assert door.app.sent == [HEAD + b"{}"]
    assert door.transport.written[0].startswith(b"HTTP/1.1 503")
    assert door.scope is None


def test_whoever_is_sent_away_again_and_again_is_not_cut_off(door):
    for _ in range(20):
        door.data_received(HEAD + b"{}")
        door.loop.advance(HEADER_S - 1)
    assert len(door.transport.written) == 20
    assert not door.transport.is_closed
    assert len(door.loop.timers) == 1


LARGE = b"X: %b\r\nHost" % (b"y" * MOST_KNOWN_BYTES)
CHUNKED = HEAD.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked")
HARD_TO_TELL = {
    "in pieces": [HEAD, b"{}"],
    "a head in pieces": [HEAD[:30], HEAD[30:] + b"{}"],
    "in chunks": [CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"],
    "to close": [HEAD.replace(b"Host", b"Connection: close\r\nHost") + b"{}"],
    "of HTTP/1.0": [HEAD.replace(b"/1.1", b"/1.0") + b"{}"],
    "with a whole address": [HEAD.replace(b" /v1", b" http://x/v1") + b"{}"],
    "with a large head": [HEAD.replace(b"Host", LARGE) + b"{}"],
    "one behind the other": [(HEAD + b"{}") * 2],
}


@pytest.mark.parametrize("pieces", HARD_TO_TELL.values(), ids=HARD_TO_TELL.keys())
@pytest.mark.parametrize("is_full", [True, False])
def test_who_cannot_be_sent_away_unparsed_is_sent_away_all_the_same(pieces, is_full):
    async def run():
        door = opened(asyncio.get_running_loop(), Reader)
        entered: list[None] = []
        door.app.gate.is_full, door.app.gate.enter = is_full, lambda: entered.append(None)
        for piece in pieces:
            door.data_received(piece)
            written = b"".join(await answers(door))
        return written, len(entered), door.transport.is_closed

    written, n_entered, is_closed = asyncio.run(run())
    n_asked = b"".join(pieces).count(b"POST")
    assert written.count(b"HTTP/1.1 503" if is_full else b"HTTP/1.1 200") == n_asked
    assert is_closed == any(word in pieces[0] for word in (b"Connection: close", b"HTTP/1.0"))
    assert (b'"code":"busy"' in written, n_entered) == (is_full, 0 if is_full else n_asked)


def test_their_connection_may_rest_as_long_as_any(door):
    door.data_received(HEAD + b"{}")
    door.loop.advance(KEEP_ALIVE_S - 1)
    door.data_received(HEAD + b"{}")
    door.loop.advance(KEEP_ALIVE_S - 1)
    assert not door.transport.is_closed
    door.loop.advance(2)
    assert door.transport.is_closed


def test_a_head_that_begins_behind_a_refusal_has_all_its_time(door):
    door.data_received(HEAD + b"{}")
    door.loop.advance(KEEP_ALIVE_S - 1)
    door.data_received(HEAD[:20])
    door.loop.advance(HEADER_S - 1)
    assert len(door.transport.written) == 1
    door.loop.advance(2)
    assert b"slow_headers" in door.transport.written[1]
    assert door.transport.is_closed


def test_a_body_that_comes_behind_its_answer_is_not_taken_for_a_request():
    async def run():
        door = await with_room()
        inner = HEAD + b"{}"
        outer = b"POST /v1/toy/predictions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        door.data_received(outer % len(inner))
        assert len(await answers(door)) == 1
        door.app.gate.is_full = True
        door.data_received(inner)
        assert (len(door.transport.written), door.app.codes) == (1, [])
        door.data_received(HEAD + b"{}")
        assert door.app.codes == []  # it was parsed: whether the body had ended was not known
        assert len(await answers(door)) == 2

    asyncio.run(run())


def test_what_a_request_held_goes_with_the_next_one_without_the_collector():
    async def run():
        door = await with_room()
        for _ in range(2):
            door.data_received(HEAD + b"{}")
            await answers(door)
        before = weakref.ref(door.cycle)
        door.data_received(HEAD + b"{}")
        await answers(door)
        return before()

    gc.disable()
    try:
        assert asyncio.run(run()) is None
    finally:
        gc.enable()


def test_one_clock_serves_all_rests_of_a_connection_and_ends_with_it(door):
    door.app.gate.is_full = True
    rests = []
    for _ in range(3):
        door.data_received(HEAD + b"{}")
        rests.append(len(door.loop.timers))
        door.loop.advance(KEEP_ALIVE_S - 1)
        assert not door.transport.is_closed
    assert rests == [1, 1, 1]
    door.connection_lost(None)
    assert door.loop.timers == []
