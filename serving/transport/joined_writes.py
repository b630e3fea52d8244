"""Head and body of an answer in one write: each write is a call of the kernel, and a packet."""

from __future__ import annotations

import asyncio
from typing import Any


class JoinedWrites:
    """The transport of one request, as uvicorn writes to it: head first, then the body.

    The head waits for the first piece of the body, which follows at once. What is written
    before the answer begins, to say that a body may come, waits for nothing.
    """

    __slots__ = ("_cycle", "_head", "_is_head_sent", "_transport")

    def __init__(self, transport: asyncio.Transport, cycle: Any) -> None:
        self._transport = transport
        self._cycle = cycle
        self._head = b""
        self._is_head_sent = False

    def write(self, data: bytes) -> None:
        """Write, the head together with what follows."""
        if self._is_head_sent or not self._cycle.response_started:
            self._transport.write(data)
        elif self._head:
            self._is_head_sent = True
            self._transport.write(self._head + data)
        else:
            self._head = data

    def close(self) -> None:
        """Close behind what was written."""
        if self._head and not self._is_head_sent:
            self._is_head_sent = True
            self._transport.write(self._head)
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport.is_closing()
