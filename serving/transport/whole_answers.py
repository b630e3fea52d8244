"""Answers that are whole: one write, and no look at headers that are known to be right.

uvicorn takes an answer in two messages and holds each of its headers against two patterns. Where
it would do nothing else, what it would have written is written at once.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_IS_JSON = (b"content-type", b"application/json")


class JsonAnswer(Response):
    """JSON that is ready. What Starlette asks of any answer is known of these beforehand."""

    def __init__(self, body: bytes, status: int) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [(b"content-length", b"%d" % len(body)), _IS_JSON]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, at once where nothing stands between."""
        cycle = getattr(send, "__self__", None)
        if type(cycle) is not RequestResponseCycle or not is_written(cycle, self):
            await super().__call__(scope, receive, send)


def is_written(cycle: RequestResponseCycle, answer: JsonAnswer) -> bool:
    """Write all of an answer and leave the cycle as uvicorn would; nothing where it does more."""
    is_plain = cycle.keep_alive and cycle.scope["method"] != "HEAD" and not cycle.access_log
    is_ready = not (cycle.response_started or cycle.disconnected or cycle.flow.write_paused)
    if not (is_plain and is_ready):
        return False
    lines = [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *answer.raw_headers)]
    head = b"".join([STATUS_LINE[answer.status_code], *lines, b"\r\n"])
    cycle.waiting_for_100_continue = False
    cycle.transport.write(head + bytes(answer.body))
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    cycle.on_response()
    return True
