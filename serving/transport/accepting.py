"""Accepting: of the workers of one port, whoever has the fewest connections takes the next.

The kernel wakes all workers for a connection, and whoever runs first has it: of eight that came at
once one worker often held seven, and the other core of the machine had nothing to do. So a worker
that holds more than another leaves a new connection alone for a while, and takes it only where
nobody else did.
"""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable, Collection
from socket import socket

import uvicorn

LEFT_TO_OTHERS_S = 0.005
"""How long: a worker that has less to do runs sooner, and one that stands still must not count."""
MOST_AT_ONCE = 4
"""Of those left alone by all: enough where another stands still, few where it is about to run."""
CLOSED = 2**62
"""What a worker holds that takes no more."""
REST_S = 0.1
"""How long none is taken when files have run out."""

_NUMBER_BYTES = 8


class Held:
    """Connections that each worker holds, in memory that they share; each puts down its own.

    Examples
    --------
    >>> held = Held(2)
    >>> held.put(0, 3)
    >>> held.has_least(0), held.has_least(1)
    (False, True)
    """

    def __init__(self, n_workers: int) -> None:
        self._numbers = memoryview(mmap.mmap(-1, _NUMBER_BYTES * n_workers)).cast("q")

    def put(self, place: int, number: int) -> None:
        """Put down what the worker in ``place`` holds."""
        self._numbers[place] = number

    def has_least(self, place: int) -> bool:
        """Whether no other worker holds fewer."""
        return self._numbers[place] <= min(self._numbers)


class Accepting:
    """Takes connections of one listener for one worker; used on its event loop.

    Parameters
    ----------
    make
        A protocol for a new connection.
    open_ones
        Those that are open.
    """

    def __init__(
        self,
        listener: socket,
        held: Held,
        place: int,
        *,
        make: Callable[[], asyncio.Protocol],
        open_ones: Collection[object],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._held, self._place = held, place
        self._make = make
        self._open_ones = open_ones
        self._begun: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None
        listener.settimeout(0)
        held.put(place, 0)
        self._loop.add_reader(listener, self._met)

    def close(self) -> None:
        """Take no more; the listener is whoever's it was."""
        self._held.put(self._place, CLOSED)
        if self._timer is None:
            self._loop.remove_reader(self._listener)
        else:
            self._timer.cancel()

    async def wait_closed(self) -> None:
        """Wait for what was begun."""
        if self._begun:
            await asyncio.wait(self._begun)

    def count(self) -> None:
        """Put down what this worker holds."""
        self._held.put(self._place, len(self._open_ones) + len(self._begun))

    def _met(self) -> None:
        """Somebody knocks: take him, or leave him to others for a while."""
        self.count()
        if self._held.has_least(self._place):
            self._take()
        else:
            self._rest(LEFT_TO_OTHERS_S)

    def _again(self) -> None:
        """Take whoever was left alone by all."""
        self._timer = None
        self._loop.add_reader(self._listener, self._met)
        for _ in range(MOST_AT_ONCE):
            if not self._take():
                break

    def _take(self) -> bool:
        """Take one; whether there was one."""
        try:
            taken, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return False
        except OSError:  # no more files, or memory
            self._rest(REST_S)
            return False
        taken.settimeout(0)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._make, taken))
        self._begun.add(task)
        task.add_done_callback(self._has_begun)
        self.count()
        return True

    def _has_begun(self, task: asyncio.Task[object]) -> None:
        self._begun.discard(task)
        if not task.cancelled():
            task.exception()  # who knocked has gone again: nobody waits to be told

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._timer = self._loop.call_later(seconds, self._again)


class WorkerServer(uvicorn.Server):
    """uvicorn's server of one of several workers, which takes its share of the connections.

    Parameters
    ----------
    has_started
        Called once it takes connections.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        held: Held,
        place: int,
        has_started: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._held, self._place = held, place
        self._has_started = has_started
        self._accepting: list[Accepting] = []

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start the application, then take connections."""
        await super().startup(sockets=[])
        for listener in sockets or []:
            listener.listen(self.config.backlog)
            accepting = Accepting(
                listener,
                self._held,
                self._place,
                make=self._connection,
                open_ones=self.server_state.connections,
            )
            self._accepting.append(accepting)
        self.servers += self._accepting  # type: ignore[arg-type]  # as much as uvicorn asks of one
        self._has_started()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Take no more, then end: who was taken just now is told to go, too.

        One that began only behind that would be answered on until the grace is over.
        """
        for accepting in self._accepting:
            accepting.close()
            await accepting.wait_closed()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Put down ten times a second what is held: connections end without a word to others."""
        for accepting in self._accepting:
            accepting.count()
        return await super().on_tick(counter)

    def _connection(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        return made
