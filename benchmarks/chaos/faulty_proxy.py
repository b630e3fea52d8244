"""A TCP proxy that does to a connection what networks do: delay, reset, swallow.

It stands between a process and its dependency. Faults are switched on and off while it runs;
what each byte meets is what is switched on when it comes.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]

CHUNK_BYTES = 65_536
STARTS_WITHIN_S = 5.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER that makes a close a reset


def to_unix_socket(path: Path) -> Connect:
    """Connects to a Unix socket."""
    return lambda: asyncio.open_unix_connection(str(path))


def to_port(port: int) -> Connect:
    """Connects to a port of this machine."""
    return lambda: asyncio.open_connection("127.0.0.1", port)


class FaultyProxy:
    """Passes bytes on from a free port of this machine, from a thread of its own.

    Attributes
    ----------
    delay_s
        How much later answers arrive; their order is kept.
    reset_share
        Share of answers on which the connection is reset instead.
    is_silent
        Whether everything is swallowed, and connections stay open.
    n_resets
        Connections that were reset so far.

    Parameters
    ----------
    connect
        Way to the dependency.
    seed
        Of which answers are reset.
    """

    def __init__(self, connect: Connect, *, seed: int = 1) -> None:
        self.delay_s = 0.0
        self.reset_share = 0.0
        self.is_silent = False
        self.n_resets = 0
        self.port = 0
        self._connect = connect
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="faulty-proxy")

    def __enter__(self) -> FaultyProxy:
        self._thread.start()
        if not self._is_up.wait(STARTS_WITHIN_S):
            raise TimeoutError(f"the proxy did not listen within {STARTS_WITHIN_S:g} s")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=STARTS_WITHIN_S)

    def heal(self) -> None:
        """No fault from here on."""
        self.delay_s, self.reset_share, self.is_silent = 0.0, 0.0, False

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, host="127.0.0.1", port=0)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._is_up.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        server.close()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await self._connect()
        except OSError:
            _reset(writer)
            return
        questions = asyncio.create_task(self._pass_on(reader, back))
        answers = asyncio.create_task(self._answer(there, writer))
        try:
            await asyncio.wait((questions, answers), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (questions, answers):
                task.cancel()
            for each in (writer, back):
                with suppress(OSError, RuntimeError):
                    each.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if not self.is_silent:
                    writer.write(data)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        free_s = 0.0  # when the last answer is written: none overtakes it
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if self.is_silent:
                    continue
                if self.reset_share and self._random.random() < self.reset_share:
                    self.n_resets += 1
                    _reset(writer)
                    return
                now_s = self._loop.time()
                free_s = max(free_s, now_s + self.delay_s)
                if free_s <= now_s:
                    writer.write(data)
                else:
                    self._loop.call_at(free_s, _write, writer, data)


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
