"""The routes of predictions, found at once: every other request goes the application's way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Handler = Callable[[Request], Awaitable[Response]]

_BEFORE = "/v1/"
_EVENTS = "events"


class PredictionShortcut:
    """ASGI application that answers ``POST /v1/{use_case}/<name>`` by the handler of that name.

    Matching every route in turn costs more than reading a prediction's features. The
    handlers are those of the routes: they answer every request, whatever is wrong with it.
    """

    def __init__(self, app: ASGIApp, *, handlers: Mapping[str, Handler]) -> None:
        self.app = app
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] == "http" and scope["method"] == "POST":
            use_case, _, name = scope["path"].removeprefix(_BEFORE).partition("/")
            handler = self._handlers.get(name)
            if handler is not None and use_case and use_case != _EVENTS:
                scope["path_params"] = {"use_case": use_case}
                response = await handler(Request(scope, receive))
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)
