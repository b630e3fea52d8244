"""Answers that are whole: one write, and no look at headers that are known to be right.

uvicorn takes an answer in two messages and holds each of its headers against two patterns. Where
it would do nothing else, what it would have written is written at once.
"""

from __future__ import annotations

from functools import cached_property

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from serving.telemetry.tracing import lines_of
from serving.transport.known_cycle import Headers, KnownCycle

_IS_JSON = (b"content-type", b"application/json")


class JsonAnswer(Response):
    """JSON that is ready. What Starlette asks of any answer is known of these beforehand."""

    def __init__(self, body: bytes, status: int) -> None:
        self.status_code = status
        self.background = None
        self.body = body

    @cached_property
    def raw_headers(self) -> Headers:  # type: ignore[override]
        """Its headers; few look at them."""
        return [(b"content-length", b"%d" % len(self.body)), _IS_JSON]

    def lines(self) -> bytes:
        """Its headers, as they are sent."""
        if "raw_headers" not in vars(self):  # so none was added
            return b"content-length: %d\r\ncontent-type: application/json\r\n" % len(self.body)
        return lines_of(self.raw_headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, at once where nothing stands between."""
        cycle = getattr(send, "__self__", None)
        if not isinstance(cycle, RequestResponseCycle) or not is_written(cycle, self):
            await super().__call__(scope, receive, send)


def is_written(cycle: RequestResponseCycle, answer: JsonAnswer) -> bool:
    """Write all of an answer and leave the cycle as uvicorn would; nothing where it does more."""
    is_plain = cycle.keep_alive and cycle.scope["method"] != "HEAD" and not cycle.access_log
    is_ready = not (cycle.response_started or cycle.disconnected or cycle.flow.write_paused)
    if not (is_plain and is_ready):
        return False
    status = STATUS_LINE[answer.status_code]
    if isinstance(cycle, KnownCycle):
        head = b"%b%b%b%b\r\n" % (status, cycle.server_lines, cycle.trace.lines(), answer.lines())
    else:
        head = b"%b%b%b\r\n" % (status, lines_of(cycle.default_headers), answer.lines())
    cycle.waiting_for_100_continue = False
    cycle.transport.write(head + answer.body)
    cycle.response_started = cycle.response_complete = True
    event = vars(cycle).get("message_event")  # of a request that came whole, where one was made
    if event is not None:
        event.set()
    cycle.on_response()
    return True
