"""Recorded traffic, replayed at its own pace over HTTP, and every answer kept.

Requests leave when they are due, whether or not others were answered; so a server that stands
still is asked all the same.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import numpy as np

CONNECTIONS = 24
AMOUNTS = (201, 15_000)
"""Least and greatest amount; drawn evenly between."""


@dataclass(frozen=True)
class Seen:
    """One answer: status, release and channel that answered, whether in the challenger's stead.

    ``latency_ms`` counts from the request on its connection; ``at_s`` is when it came, by the
    monotonic clock.
    """

    status: int
    release: int
    channel: str
    is_instead: bool
    score: float
    amount_minor: int
    latency_ms: float
    at_s: float

    @property
    def is_challengers(self) -> bool:
        """Whether the request was the challenger's to answer."""
        return self.channel == "challenger" or self.is_instead


def recorded(seed: int) -> Iterator[dict[str, Any]]:
    """Payments without end, each by another card; some cards come back."""
    rng = np.random.default_rng(seed)
    for n in count():
        card = n if rng.random() > 0.02 else int(rng.integers(0, n + 1))
        yield {
            "entities": {"card_id": f"card-{seed}-{card}", "terminal_id": f"t{n % 50}"},
            "inputs": {"amount_minor": int(rng.integers(AMOUNTS[0], AMOUNTS[1] + 1))},
            "event_id": f"paid-{seed}-{n}",
        }


class Replay(threading.Thread):
    """Sends recorded requests at a pace until told to stop; keeps every answer in order."""

    def __init__(self, url: str, seed: int, *, per_s: float) -> None:
        super().__init__(daemon=True)
        self._parts = urlsplit(url)
        self._requests = recorded(seed)
        self._per_s = per_s
        self._is_over = threading.Event()
        self.seen: list[Seen] = []
        self.sent = 0
        self.lost: list[str] = []

    def run(self) -> None:
        asyncio.run(self._replay())

    def stop(self) -> list[Seen]:
        """Send no more, wait for what is under way; all answers."""
        self._is_over.set()
        self.join(timeout=120)
        assert not self.is_alive(), "requests were never answered"
        return self.seen

    async def _replay(self) -> None:
        due: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        workers = [asyncio.create_task(self._send(due)) for _ in range(CONNECTIONS)]
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        while not self._is_over.is_set():
            # Where the service is slower than the pace, no queue grows that outlasts the test.
            while self.sent < (loop.time() - start_s) * self._per_s and due.qsize() < CONNECTIONS:
                due.put_nowait(next(self._requests))
                self.sent += 1
            await asyncio.sleep(0.002)
        for _ in workers:
            due.put_nowait(None)
        await asyncio.gather(*workers)

    async def _send(self, due: asyncio.Queue[dict[str, Any] | None]) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        while (request := await due.get()) is not None:
            body = json.dumps(request).encode()
            writer.write(
                b"POST /v1/toy/predictions HTTP/1.1\r\nHost: x\r\n"
                b"Content-Type: application/json\r\n"
                b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
            )
            start_s = loop.time()
            try:
                status, answer = await _answer(reader)
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self.lost.append(f"{type(error).__name__}: {error}")
                return
            spent_ms = (loop.time() - start_s) * 1_000
            amount_minor = request["inputs"]["amount_minor"]
            self.seen.append(_seen(status, answer, amount_minor, spent_ms, loop.time()))
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    return int(head.split(b" ", 2)[1]), json.loads(await reader.readexactly(length))


def _seen(status: int, answer: Any, amount_minor: int, latency_ms: float, at_s: float) -> Seen:
    if status != 200:
        return Seen(status, 0, "", False, 0.0, amount_minor, latency_ms, at_s)
    return Seen(
        status,
        answer["model"]["release"],
        answer["model"]["channel"],
        (answer["degraded"] or {}).get("level") == "champion",
        answer["score"],
        amount_minor,
        latency_ms,
        at_s,
    )
