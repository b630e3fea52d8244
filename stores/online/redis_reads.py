"""Reads from one Redis on an event loop: all that is asked in one tick is one command.

Under load a loop runs many requests a tick; together they cost one write, one wake-up and one
parse. There is one connection, made on first use and again after a failure. Nothing is
retried: whoever waited on a connection that broke is told. A Redis Cluster is not read here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import hiredis
from redis.connection import parse_url

from core.errors import DependencyError

KEYS_A_COMMAND = 1_000
"""A server does nothing else while it answers one."""

Values = list[bytes | None]


class _Lengths(dict[int, bytes]):
    """What is said of a key's length; of others than these it is put together, and not kept."""

    def __missing__(self, n_bytes: int) -> bytes:
        return b"$%d" % n_bytes


_LENGTHS = _Lengths((n_bytes, b"$%d" % n_bytes) for n_bytes in range(256))


@dataclass(slots=True, eq=False)
class _Ask:
    """Keys that one caller waits for."""

    keys: Sequence[bytes]
    values: asyncio.Future[Values]


@dataclass(slots=True, eq=False)
class _Batch:
    """What one tick asked, sent and not yet answered whole."""

    asks: list[_Ask]
    places: Mapping[bytes, int] | None  # None where one asked: its keys went as they were
    n_keys: int
    n_replies: int
    due_s: float
    values: Values = field(default_factory=list)


class TickReader:
    """Reads keys from one Redis; made and used on one event loop.

    Parameters
    ----------
    url
        ``redis://`` or ``unix://``, with name, password and database where there are some.
    timeout_s
        Longest wait for a connection, and for an answer. A server that is silent for that
        long loses the connection, and everything asked of it fails.
    """

    def __init__(self, url: str, *, timeout_s: float = 1.0) -> None:
        self._options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
        self._timeout_s = timeout_s
        self._asks: list[_Ask] = []
        self._link: _Link | None = None
        self._connecting: asyncio.Task[None] | None = None

    async def read(self, keys: Sequence[bytes]) -> Values:
        """Values in the order of ``keys``; None where there is none.

        Raises
        ------
        DependencyError
            If there is no connection, it broke, or no answer came in time.
        """
        if not keys:
            return []
        loop = asyncio.get_running_loop()
        if not self._asks:
            loop.call_soon(self._send)
        ask = _Ask(keys, loop.create_future())
        self._asks.append(ask)
        return await ask.values

    def close(self) -> None:
        """Give the connection back; whoever waits is told."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._link is not None:
            self._link.lose("it was closed")

    def _send(self) -> None:
        if self._link is not None and not self._link.is_lost:
            asks, self._asks = self._asks, []
            self._link.send(asks)
        elif self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                self._link = await _linked(self._options, self._timeout_s)
        except (OSError, DependencyError) as error:  # TimeoutError is an OSError
            asks, self._asks = self._asks, []
            _fail(asks, f"no connection: {type(error).__name__}: {error}")
        else:
            self._send()
        finally:
            self._connecting = None


async def _linked(options: Mapping[str, Any], timeout_s: float) -> _Link:
    """Connection that was made, let in and set to its database."""
    loop = asyncio.get_running_loop()
    link = _Link(loop, timeout_s)
    if path := options.get("path"):
        await loop.create_unix_connection(lambda: link, path)
    else:
        host, port = options.get("host", "localhost"), options.get("port", 6379)
        await loop.create_connection(lambda: link, host, port)
    await link.greet(_greetings(options))
    return link


def _greetings(options: Mapping[str, Any]) -> list[tuple[str, ...]]:
    commands: list[tuple[str, ...]] = []
    if password := options.get("password"):
        name = options.get("username")
        commands.append(("AUTH", name, password) if name else ("AUTH", password))
    if database := options.get("db"):
        commands.append(("SELECT", str(database)))
    return commands


class _Link(asyncio.Protocol):
    """One connection. Answers come in the order of commands: greetings, then batches."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        self.is_lost = False
        self._loop = loop
        self._timeout_s = timeout_s
        self._parser = hiredis.Reader()
        self._transport: Any = None
        self._n_greetings = 0
        self._greeted: asyncio.Future[None] = loop.create_future()
        self._batches: deque[_Batch] = deque()
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    async def greet(self, commands: Sequence[tuple[str, ...]]) -> None:
        """Send what a connection begins with and wait until all of it was taken."""
        if not commands:
            return
        self._n_greetings = len(commands)
        self._transport.write(b"".join(map(hiredis.pack_command, commands)))
        try:
            await self._greeted
        except asyncio.CancelledError:  # too late: nobody may find it half greeted
            self.lose("it was not let in in time")
            raise

    def send(self, asks: list[_Ask]) -> None:
        """One command for all keys, or one for each thousand of them."""
        places: dict[bytes, int] | None = None
        keys: Sequence[bytes] = asks[0].keys
        if len(asks) > 1:
            places = {}
            for ask in asks:
                for key in ask.keys:
                    places.setdefault(key, len(places))
            keys = list(places)
        chunks = [keys[at : at + KEYS_A_COMMAND] for at in range(0, len(keys), KEYS_A_COMMAND)]
        due_s = self._loop.time() + self._timeout_s
        self._batches.append(_Batch(asks, places, len(keys), len(chunks), due_s))
        if self._watch is None:
            self._watch = self._loop.call_at(due_s, self._look)
        self._transport.write(b"".join(map(_mget, chunks)))

    def _look(self) -> None:
        """See that the oldest answer is not late. One clock for all: a timer a batch costs more."""
        self._watch = None
        if not self._batches:
            return
        due_s = self._batches[0].due_s
        if due_s <= self._loop.time():
            self.lose(f"no answer within {self._timeout_s:g} s")
        else:
            self._watch = self._loop.call_at(due_s, self._look)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
            while not self.is_lost and (reply := self._parser.gets()) is not False:
                self._take(reply)
        except hiredis.ProtocolError as error:
            self.lose(f"{error}")

    def connection_lost(self, error: Exception | None) -> None:
        self.lose(f"{type(error).__name__}: {error}" if error else "the server closed it")

    def lose(self, because: str) -> None:
        """Use the connection no more; whoever waits is told why."""
        if self.is_lost:
            return
        self.is_lost = True
        self._transport.abort()
        if self._n_greetings and not self._greeted.done():
            self._greeted.set_exception(_error(because))
        if self._watch is not None:
            self._watch.cancel()
        while self._batches:
            _fail(self._batches.popleft().asks, because)

    def _take(self, reply: Any) -> None:
        if isinstance(reply, hiredis.HiredisError):
            self.lose(str(reply))
        elif self._n_greetings:
            self._n_greetings -= 1
            if not self._n_greetings and not self._greeted.done():
                self._greeted.set_result(None)
        else:
            self._answer(reply)

    def _answer(self, values: Any) -> None:
        if not self._batches or type(values) is not list:
            self.lose("an answer to something else")
            return
        batch = self._batches[0]
        batch.values += values
        batch.n_replies -= 1
        if batch.n_replies:
            return
        if len(batch.values) != batch.n_keys:
            self.lose("an answer to something else")
            return
        self._batches.popleft()
        places, found = batch.places, batch.values
        for ask in batch.asks:
            if not ask.values.done():
                asked = found if places is None else [found[places[key]] for key in ask.keys]
                ask.values.set_result(asked)


def _mget(keys: Sequence[bytes]) -> bytes:
    """The command as Redis reads it; hiredis would print the length of each key anew."""
    parts = [part for key in keys for part in (_LENGTHS[len(key)], key)]
    return b"\r\n".join((b"*%d" % (len(keys) + 1), b"$4", b"MGET", *parts, b""))


def _fail(asks: Sequence[_Ask], because: str) -> None:
    for ask in asks:
        if not ask.values.done():
            ask.values.set_exception(_error(because))


def _error(because: str) -> DependencyError:
    return DependencyError(
        "the online store (Redis) failed",
        found=because,
        remedy="see that the server runs, has memory, and answers within the timeout",
    )
