"""The routes asked most, found at once: every other request goes the application's way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.engine.gate import Gate
from serving.settings import HttpSettings
from serving.transport.crowding import INSIDE, Handler, Refusals
from serving.transport.known_heads import KnownHeads

HANDLER = "throughline.handler"
"""Key of a request's scope: who answers it."""
_EVENTS = "events"  # beside the use cases, and none of them


class Shortcut:
    """ASGI application that answers ``POST <prefix>{use_case}/<name>`` by its handler.

    Matching every route in turn costs more than reading a prediction's features. The
    handlers are those of the routes: they answer every request, whatever is wrong with it.

    Parameters
    ----------
    app
        Answers everything else.
    handlers
        By prefix, then by name.
    limits
        What a connection may use, for `serving.transport.connections`.
    refused
        Told the code of what a connection was refused for.
    sent_away
        Told the bytes of a request that the door sent away.
    gate
        Who is inside, for `serving.transport.door`; left here.
    turns
        What answers without a task, for the door, where anything does; left here.

    Attributes
    ----------
    refusals
        What the door answers to those who are sent away.
    heads
        Those that the door has met.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        handlers: Mapping[str, Mapping[str, Handler]],
        limits: HttpSettings,
        refused: Callable[[str], None],
        sent_away: Callable[[bytes], None],
        gate: Gate,
        turns: Any = None,
    ) -> None:
        self.app = app
        self.limits = limits
        self.refused = refused
        self.sent_away = sent_away
        self.gate = gate
        self.turns = turns
        self.refusals = Refusals()
        self.heads = KnownHeads()
        self._handlers = tuple(handlers.items())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        try:
            await self._answer(scope, receive, send)
        finally:
            if INSIDE in scope:
                self.gate.leave()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = scope.get(HANDLER) or self.place(scope)
        if handler is None:
            await self.app(scope, receive, send)
            return
        response = await handler(Request(scope, receive))
        await response(scope, receive, send)

    def place(self, scope: Scope) -> Handler | None:
        """The handler of a request that takes the short way, noted in its scope; None of others."""
        if scope["type"] != "http" or scope["method"] != "POST":
            return None
        path = scope["path"]
        for prefix, named in self._handlers:
            if path.startswith(prefix):
                use_case, _, name = path[len(prefix) :].partition("/")
                handler = named.get(name)
                if handler is None or not use_case or use_case == _EVENTS:
                    return None
                scope["path_params"] = {"use_case": use_case}
                scope[HANDLER] = handler
                return handler
        return None
