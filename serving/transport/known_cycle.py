"""A request that came whole and its answer, as uvicorn keeps them, made of little.

uvicorn makes an event to wait for a body by, and a list of headers, for each request. One that came
whole and is answered by one write needs neither; where something asks for them they are made.
"""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from serving.telemetry.tracing import Trace

Headers = list[tuple[bytes, bytes]]


class KnownCycle(RequestResponseCycle):
    """One request and its answer.

    Parameters
    ----------
    connection
        Where it came: uvicorn's protocol.
    body
        All of it.
    server_lines
        What every answer of the server begins with, as it is sent.
    """

    scope: Any  # with keys of ours
    access_log = False
    disconnected = response_started = response_complete = more_body = False
    waiting_for_100_continue = False
    chunked_encoding = None
    expected_content_length = 0

    def __init__(
        self, connection: Any, scope: Any, body: bytes, trace: Trace, server_lines: bytes
    ) -> None:
        self.scope = scope
        self.transport = connection.transport
        self.flow = connection.flow
        self.logger = connection.logger
        self.on_response = connection.on_response_complete
        self.keep_alive = True
        self.body = body  # type: ignore[assignment]  # it is read once, and never added to
        self.server_lines = server_lines
        self._server_headers: Headers = connection.server_state.default_headers
        self.trace = trace

    @cached_property
    def default_headers(self) -> Headers:  # type: ignore[override]
        """What every answer begins with."""
        return [*self._server_headers, *self.trace.headers()]

    @cached_property
    def message_event(self) -> asyncio.Event:  # type: ignore[override]
        """Set: the body is there."""
        event = asyncio.Event()
        event.set()
        return event
