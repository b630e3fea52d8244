"""The least a Python server can do: take a body, answer with the size it had. No framework.

``python -m benchmarks.peers.echo PORT``; what it costs is uvicorn, the loop and the kernel.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.peers.uvicorn_workers import serve

Message = dict[str, Any]
HEADERS = [(b"content-type", b"application/json")]


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer any request once its body is there."""
    if scope["type"] != "http":
        return
    size, is_more = 0, True
    while is_more:
        message = await receive()
        size += len(message.get("body", b""))
        is_more = message.get("more_body", False)
    body = b'{"size":%d}' % size
    headers = [*HEADERS, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    serve("benchmarks.peers.echo:app", int(sys.argv[1]))
