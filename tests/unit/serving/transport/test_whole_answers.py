"""An answer written at once is what uvicorn would have written of it."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from serving.transport.whole_answers import JsonAnswer


class Wire:
    def __init__(self):
        self.said = []

    def write(self, data):
        self.said.append(data)

    def close(self):
        self.said.append(b"closed")


def answered(*, is_at_once, method="POST", keep_alive=True, vary="", **state):
    """What was written, and in what state the cycle is left."""

    async def run() -> tuple[list[bytes], dict[str, Any]]:
        wire: Any = Wire()
        flow: Any = SimpleNamespace(write_paused=False)
        over: list[bool] = []
        scope: Any = {"type": "http", "method": method}
        log = logging.getLogger("nobody")
        cycle = RequestResponseCycle(
            scope, wire, flow, log, log, False, [(b"x-request-id", b"r1")],
            asyncio.Event(), False, keep_alive, lambda: over.append(True),
        )  # fmt: skip
        vars(cycle).update(state)

        async def send(message: Any) -> None:
            await cycle.send(message)

        answer = JsonAnswer(b'{"ready":true}', 200)
        if vary:
            answer.headers["Vary"] = vary
        await answer(scope, cycle.receive, cycle.send if is_at_once else send)  # type: ignore[arg-type]
        left = {
            "is_started": cycle.response_started,
            "is_complete": cycle.response_complete,
            "is_told": cycle.message_event.is_set(),
            "n_over": len(over),
            "is_kept": cycle.keep_alive,
        }
        return wire.said, left

    return asyncio.run(run())


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"vary": "Accept"},
        {"method": "HEAD"},
        {"keep_alive": False},
        {"disconnected": True},
    ],
    ids=["plain", "a header more", "no body asked for", "the last one", "nobody there"],
)
def test_it_is_what_uvicorn_writes(case):
    at_once, left = answered(is_at_once=True, **case)
    in_two, left_by_uvicorn = answered(is_at_once=False, **case)
    assert b"".join(at_once) == b"".join(in_two)
    assert left == left_by_uvicorn


def test_a_plain_answer_is_one_write():
    said, left = answered(is_at_once=True)
    assert said == [
        b"HTTP/1.1 200 OK\r\nx-request-id: r1\r\ncontent-length: 14\r\n"
        b'content-type: application/json\r\n\r\n{"ready":true}'
    ]
    assert left["n_over"] == 1
