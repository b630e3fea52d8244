"""The answer to a body that is not read to its end, so that its sender gets to read it.

A socket closed with unread bytes is reset, and a reset that arrives before the answer was
read takes it away. So the answer leaves first, says that the connection closes behind it, and
what still comes is read and dropped, up to a limit in bytes and one in time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

MAX_DROPPED_BYTES = 64 << 20
"""Many senders read nothing before they have sent all. Who sends more than this is cut off."""


class PartingResponse(Response):
    """An answer behind which the connection closes, once the body has ended or a limit is met."""

    def __init__(self, answer: Response, *, within_ms: int) -> None:
        super().__init__(answer.body, answer.status_code, answer.headers)
        self.headers["Connection"] = "close"
        self._within_s = within_ms / 1_000

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, whole; read on; end it."""
        del scope
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(self._within_s):
                await _drop(receive)
        await send({"type": "http.response.body", "body": b""})


async def _drop(receive: Receive) -> None:
    """Read what is left of a body, until it or its sender is gone or the limit is met."""
    n_bytes = 0
    while n_bytes < MAX_DROPPED_BYTES:
        message = await receive()
        if not message.get("more_body", False):
            return
        n_bytes += len(message["body"])
