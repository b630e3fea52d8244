"""Who takes a connection: workers of one listener, here on one loop."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field

import pytest
import uvicorn

from serving.transport import accepting
from serving.transport.accepting import Accepting, Held, WorkerServer

WITHIN_S = 60.0


class Taken(asyncio.Protocol):
    """A connection of a worker; says by whom it was taken."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._worker.open_ones.add(transport)


@dataclass
class Worker:
    """What accepts in one place, by a descriptor of its own, as a process has it."""

    open_ones: set[object] = field(default_factory=set)

    def starts(self, listener: socket.socket, held: Held, place: int) -> Accepting:
        own = type(listener)(fileno=os.dup(listener.fileno()))
        return Accepting(own, held, place, make=lambda: Taken(self), open_ones=self.open_ones)


class OutOfFiles(socket.socket):
    """A listener that once finds no file for who knocks."""

    n_refused = 0

    def accept(self):
        if not OutOfFiles.n_refused:
            OutOfFiles.n_refused += 1
            raise OSError(errno.EMFILE, "no more files")
        return super().accept()


def with_listener(use: Callable[[socket.socket], Awaitable[None]], kind=socket.socket) -> None:
    async def run() -> None:
        with closing(kind()) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(64)
            await asyncio.wait_for(use(listener), WITHIN_S)

    asyncio.run(run())


async def knock(listener: socket.socket, n: int) -> list[asyncio.StreamWriter]:
    found = [await asyncio.open_connection(*listener.getsockname()) for _ in range(n)]
    return [writer for _, writer in found]


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - the loop's own work is what is waited for
        await asyncio.sleep(0.002)


def test_many_that_come_at_once_are_shared():
    async def use(listener):
        held, workers = Held(3), [Worker() for _ in range(3)]
        running = [worker.starts(listener, held, place) for place, worker in enumerate(workers)]
        await knock(listener, 12)
        await until(lambda: sum(len(each.open_ones) for each in workers) == 12)
        assert max(len(each.open_ones) for each in workers) <= 8  # else the first takes all
        for each in running:
            each.close()

    with_listener(use)


def test_whoever_holds_more_leaves_it_to_another():
    async def use(listener):
        held, busy, idle = Held(2), Worker({1, 2, 3}), Worker()
        first, second = busy.starts(listener, held, 0), idle.starts(listener, held, 1)
        first.count()
        await knock(listener, 3)
        await until(lambda: len(idle.open_ones) == 3)
        assert busy.open_ones == {1, 2, 3}
        first.close()
        second.close()

    with_listener(use)


def test_what_nobody_else_takes_is_taken():
    async def use(listener):
        held, only = Held(2), Worker({1, 2, 3})  # the other one stands still
        running = only.starts(listener, held, 0)
        await knock(listener, 2 * accepting.MOST_AT_ONCE + 1)
        await until(lambda: len(only.open_ones) == 3 + 2 * accepting.MOST_AT_ONCE + 1)
        running.close()

    with_listener(use)


def test_one_that_closes_takes_no_more_and_counts_for_nobody():
    async def use(listener):
        held, leaving, staying = Held(2), Worker(), Worker({1})
        gone, running = leaving.starts(listener, held, 0), staying.starts(listener, held, 1)
        gone.close()
        await gone.wait_closed()
        running.count()
        assert held.has_least(1)
        await knock(listener, 2)
        await until(lambda: len(staying.open_ones) == 3)
        assert leaving.open_ones == set()
        running.close()

    with_listener(use)


def test_one_that_closes_while_it_leaves_others_the_first_word_takes_no_more(monkeypatch):
    monkeypatch.setattr(accepting, "LEFT_TO_OTHERS_S", 0.001)

    async def use(listener):
        held, only = Held(2), Worker({1})
        running = only.starts(listener, held, 0)
        await knock(listener, 1)
        await until(lambda: running._timer is not None)
        running.close()
        await asyncio.sleep(0.05)
        assert only.open_ones == {1}

    with_listener(use)


def test_files_that_run_out_are_waited_for(monkeypatch):
    monkeypatch.setattr(accepting, "REST_S", 0.001)

    async def use(listener):
        worker = Worker()
        running = worker.starts(listener, Held(1), 0)
        await knock(listener, 1)
        await until(lambda: len(worker.open_ones) == 1)
        assert OutOfFiles.n_refused == 1
        running.close()

    with_listener(use, OutOfFiles)


@pytest.mark.parametrize("n_turns", range(5))
def test_who_was_taken_just_before_the_end_is_told_to_go(n_turns):
    async def application(scope, receive, send):
        raise AssertionError("nobody asks")

    async def use(listener):
        config = uvicorn.Config(
            application, lifespan="off", log_config=None, timeout_graceful_shutdown=1
        )
        server = WorkerServer(config, Held(1), 0)
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[listener])
        with closing(socket.create_connection(listener.getsockname())):
            for _ in range(n_turns):
                await asyncio.sleep(0)
            await server.shutdown(sockets=[listener])
            assert server.server_state.connections == set()

    with_listener(use)
