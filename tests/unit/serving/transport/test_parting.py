from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

import pytest
from starlette.responses import Response

from serving.transport.parting import MAX_DROPPED_BYTES, PartingResponse

CHUNK_BYTES = 65_536
CHUNK = {"type": "http.request", "body": b"x" * CHUNK_BYTES, "more_body": True}
LAST = {"type": "http.request", "body": b"x", "more_body": False}
GONE = {"type": "http.disconnect"}


class Connection:
    """A caller that still sends; what passed between the two, in order."""

    def __init__(self, messages: Iterable[dict[str, Any]]) -> None:
        self._messages: Iterator[dict[str, Any]] = iter(messages)
        self.sent: list[dict[str, Any]] = []
        self.n_received = 0

    async def receive(self) -> dict[str, Any]:
        assert self.sent[-1]["more_body"], "read on before the answer was out"
        message = next(self._messages, None)
        if message is None:
            await asyncio.sleep(3_600)
            raise AssertionError
        self.n_received += 1
        return message

    async def send(self, message: Any) -> None:
        self.sent.append(dict(message))


def parted(messages: Iterable[dict[str, Any]], *, within_ms: int = 5_000) -> Connection:
    connection = Connection(messages)
    response = PartingResponse(Response(b"no", 413, media_type="a/b"), within_ms=within_ms)
    asyncio.run(response({}, connection.receive, connection.send))
    return connection


def test_the_answer_leaves_whole_and_says_that_the_connection_closes():
    start, body, end = parted([CHUNK, LAST]).sent
    assert start["status"] == 413
    headers = dict(start["headers"])
    assert headers[b"connection"] == b"close"
    assert (headers[b"content-length"], headers[b"content-type"]) == (b"2", b"a/b")
    assert (body["body"], body["more_body"]) == (b"no", True)
    assert (end["body"], "more_body" in end) == (b"", False)


@pytest.mark.parametrize("last", [LAST, GONE])
def test_a_body_is_read_to_its_end_and_no_further(last):
    assert parted([CHUNK, CHUNK, last, CHUNK]).n_received == 3


def test_a_body_without_end_is_not_read_for_ever():
    assert parted(repeat(CHUNK)).n_received == MAX_DROPPED_BYTES // CHUNK_BYTES


def test_a_body_that_stops_is_not_waited_for_for_ever():
    assert len(parted([CHUNK], within_ms=20).sent) == 3


def test_the_bytes_dropped_for_one_sender_are_bounded_and_enough_for_most():
    assert 20 << 20 < MAX_DROPPED_BYTES <= 64 << 20
