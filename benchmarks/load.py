"""Open-loop load: requests leave at instants drawn beforehand, whether or not answers came.

A closed loop waits for an answer before it asks again, so while a server stands still it asks
nothing and one slow answer hides all that others would have waited. Here a latency counts from
the **intended** instant: a request that had to wait for a free connection waited all the same.

Whoever asks for its rate and hardly looks at an answer takes `benchmarks.open_loop` instead.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import cast

import numpy as np

from core.errors import DependencyError

CONNECTIONS = 128
PATIENCE_S = 10.0
LEAD_S = 0.05  # between connecting and the first request
REFUSED = ("429", "503")
CLOSED, UNANSWERED, UNREADABLE = "closed", "unanswered", "unreadable"

Kept = Callable[[float, float, str, bytes], None]
"""Told of every request: when it was meant to leave and was answered, on the loop's clock; its
status, and the bytes of its answer."""
Job = tuple[float, bytes]
"""The instant a request was meant to leave, on the loop's clock, and its bytes."""


@dataclass(frozen=True)
class Outcome:
    """What came of one load. Latencies in ms, from the intended instant.

    ``answered`` are answers of class 2xx; ``errors`` counts all others by status, or by
    ``closed``, ``unreadable`` and ``unanswered``. Percentiles are over the answered and over
    the unanswered, which count with the time they had waited when patience ended.
    ``refused_p99_ms`` is over answers of 429 and 503.
    ``lateness_p99_ms`` is how late the generator itself was: read latencies of that size with care.
    """

    sent: int
    answered: int
    errors: dict[str, int]
    seconds: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    lateness_p99_ms: float
    refused_p99_ms: float = math.nan

    @property
    def said(self) -> str:
        """One line for the table."""
        errors = "".join(f", {count:,} {name}" for name, count in self.errors.items())
        return (
            f"{self.answered / self.seconds:,.0f}/s answered, p50 {self.p50_ms:.2f}, "
            f"p99 {self.p99_ms:.2f}, p99.9 {self.p999_ms:.2f}, max {self.max_ms:.1f} ms{errors}"
        )


def arrivals(rate: float, seconds: float, *, is_poisson: bool = True, seed: int = 1) -> list[float]:
    """Instants from 0 to ``seconds`` at which requests leave, ``rate`` a second on average.

    Examples
    --------
    >>> arrivals(4, 1, is_poisson=False)
    [0.0, 0.25, 0.5, 0.75]
    """
    count = round(rate * seconds)
    if not is_poisson:
        return [place / rate for place in range(count)]
    # Given their number, the arrivals of a Poisson process lie evenly at random.
    return sorted(np.random.default_rng(seed).uniform(0, seconds, count).tolist())


def percentile(ordered: Sequence[float], share: float) -> float:
    """Smallest of the ordered values that ``share`` of them do not exceed; NaN of none.

    Examples
    --------
    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5), percentile([1.0, 2.0, 3.0, 4.0], 0.99)
    (2.0, 4.0)
    """
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def request_bytes(host: str, port: int, path: str, body: bytes) -> bytes:
    """One HTTP/1.1 request that keeps its connection."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answer_in(received: bytes | bytearray) -> tuple[str, int] | None:
    """Status and length of the answer that ``received`` begins with; None while it is not whole.

    Raises
    ------
    ValueError
        If it is not HTTP/1.1 with a Content-Length.

    Examples
    --------
    >>> answer_in(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
    ('200', 40)
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[:end]).lower()
    if not head.startswith(b"http/1.1 "):
        raise ValueError("not HTTP/1.1")
    _, found, after = head.partition(b"\r\ncontent-length:")
    if not found:
        raise ValueError("an answer without Content-Length")
    length = end + 4 + int(after.partition(b"\r\n")[0])
    return (head[9:12].decode(), length) if len(received) >= length else None


class Connection(asyncio.Protocol):
    """One kept connection; carries one request at a time."""

    def __init__(self, load: OpenLoop) -> None:
        self._load = load
        self._received = bytearray()
        self._transport: asyncio.WriteTransport | None = None
        self._due: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready for a request."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by its class

    def send(self, job: Job) -> None:
        """Ask; the answer is reported to the load."""
        assert self._transport is not None
        self._due, request = job
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """More of an answer."""
        self._received += data
        try:
            answer = answer_in(self._received)
        except ValueError:
            self._report(UNREADABLE)
            self.close()
            return
        if answer is not None and self._due is not None:
            whole = bytes(self._received[: answer[1]]) if self._load.kept is not None else b""
            del self._received[: answer[1]]
            self._report(answer[0], whole)
            self._load.is_free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server, or the load, closed it."""
        self._report(CLOSED)
        self._load.is_lost(self)

    def close(self) -> None:
        """Close it now."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def waited_since(self) -> float | None:
        """Intended instant of the request that it carries."""
        return self._due

    def _report(self, status: str, answer: bytes = b"") -> None:
        if self._due is not None:
            due, self._due = self._due, None
            self._load.has_answer(due, status, answer)


class OpenLoop:
    """One load against one address: all requests, at the instants they are due."""

    def __init__(
        self, host: str, port: int, *, connections: int = CONNECTIONS, kept: Kept | None = None
    ) -> None:
        self._address = (host, port)
        self._n_connections = connections
        self.kept = kept
        self._loop = asyncio.get_running_loop()
        self._free: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._reconnecting: set[asyncio.Task[None]] = set()
        self._waiting: deque[Job] = deque()
        self._latencies: list[float] = []
        self._refusals: list[float] = []
        self._statuses: Counter[str] = Counter()
        self._lateness: list[float] = []
        self._n_settled = 0
        self._is_over = False
        self._progress = asyncio.Event()

    async def run(
        self, requests: Sequence[bytes], due_s: Sequence[float], *, patience_s: float = PATIENCE_S
    ) -> Outcome:
        """Send ``requests``, again from the first when they are used up, at ``due_s``.

        Raises
        ------
        DependencyError
            If nothing listens there.
        """
        for _ in range(self._n_connections):
            await self._connect()
        if not self._open:
            host, port = self._address
            raise DependencyError(
                "there is nothing to load",
                found=f"no connection to {host}:{port}",
                remedy="start it",
            )
        start = self._loop.time() + LEAD_S
        for instant, request in zip(due_s, cycle(requests), strict=False):
            due = start + instant
            rest = due - self._loop.time()
            if rest > 0:
                await asyncio.sleep(rest)
            self._lateness.append(self._loop.time() - due)
            self._waiting.append((due, request))
            self._drain()
        await self._all_settled(len(due_s), self._loop.time() + patience_s)
        self._give_up()
        return self._outcome(len(due_s), self._loop.time() - start)

    def is_free(self, connection: Connection) -> None:
        """A connection can carry a request; each in turn, so that every worker gets its share."""
        self._free.append(connection)
        self._drain()

    def is_lost(self, connection: Connection) -> None:
        """A connection closed: another takes its place."""
        self._open.discard(connection)
        if connection in self._free:
            self._free.remove(connection)
        if not self._is_over:
            task = asyncio.ensure_future(self._connect())
            self._reconnecting.add(task)
            task.add_done_callback(self._reconnecting.discard)

    def has_answer(self, due: float, status: str, answer: bytes) -> None:
        """A request was answered, or never will be."""
        if self.kept is not None:
            self.kept(due, self._loop.time(), status, answer)
        self._n_settled += 1
        self._progress.set()
        if status.startswith("2"):
            self._latencies.append(self._loop.time() - due)
            return
        self._statuses[status] += 1
        if status in REFUSED:
            self._refusals.append(self._loop.time() - due)

    async def _connect(self) -> None:
        try:
            _, connection = await self._loop.create_connection(
                lambda: Connection(self), *self._address
            )
        except OSError:
            return
        self._open.add(connection)
        self.is_free(connection)

    def _drain(self) -> None:
        while self._waiting and self._free:
            self._free.popleft().send(self._waiting.popleft())

    async def _all_settled(self, sent: int, deadline: float) -> None:
        while self._n_settled < sent and self._loop.time() < deadline:
            self._progress.clear()
            try:
                await asyncio.wait_for(self._progress.wait(), deadline - self._loop.time())
            except TimeoutError:
                return

    def _give_up(self) -> None:
        """Close everything; what is still out counts with the time it has waited."""
        self._is_over = True
        now = self._loop.time()
        carried = [c.waited_since for c in self._open if c.waited_since is not None]
        unanswered = [*carried, *(due for due, _ in self._waiting)]
        if self.kept is not None:
            for due in unanswered:
                self.kept(due, now, UNANSWERED, b"")
        self._latencies += [now - due for due in unanswered]
        for connection in list(self._open):
            connection.close()
        self._statuses += Counter({UNANSWERED: len(unanswered)})

    def _outcome(self, sent: int, seconds: float) -> Outcome:
        ordered = sorted(1_000 * latency for latency in self._latencies)
        late = sorted(1_000 * lateness for lateness in self._lateness)
        errors = dict(self._statuses)
        return Outcome(
            sent=sent,
            answered=sent - sum(errors.values()),
            errors=errors,
            seconds=seconds,
            p50_ms=percentile(ordered, 0.5),
            p99_ms=percentile(ordered, 0.99),
            p999_ms=percentile(ordered, 0.999),
            max_ms=percentile(ordered, 1.0),
            lateness_p99_ms=percentile(late, 0.99),
            refused_p99_ms=percentile(sorted(1_000 * each for each in self._refusals), 0.99),
        )
