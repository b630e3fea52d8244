"""The service's side of the explainer: starts it when first asked, waits no longer than told.

One that has crashed is started anew by who asks next; so is one that hangs, once it was killed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from core.errors import PlatformError
from serving.engine.explaining import Explanation, Status
from serving.explainer import Reply, Request
from serving.models.releases import LoadedRelease
from serving.spawning import Child

COMMAND = (sys.executable, "-m", "serving.explainer")
MAX_REPLY_BYTES = 64 << 20
HANGS_AFTER_S = 30.0
"""A process that somebody waits for and that says nothing for so long is killed: it has stopped or
hangs. Longer than it takes to start on a busy machine, or to explain the longest list."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Reply)


class ExplainerProcess:
    """One explainer process; an ``Explaining``.

    Parameters
    ----------
    bundle_of
        Folder of a release's bundle.
    start_budget_ms
        Instead of the budget, for requests that come while the process starts.
    """

    def __init__(
        self,
        bundle_of: Callable[[str, int], Path],
        *,
        start_budget_ms: int,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._bundle_of = bundle_of
        self._start_budget_ms = start_budget_ms
        self._command = tuple(command)
        self._process: Child | None = None
        self._listener: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._number = 0
        self._warm: set[str] = set()
        self._silent: asyncio.TimerHandle | None = None
        self._starting: asyncio.Task[Child] | None = None

    async def explain(
        self, release: LoadedRelease, vectors: Sequence[NDArray[np.float32]], *, budget_ms: int
    ) -> list[Explanation]:
        """One explanation a vector, within the budget or late."""
        if release.manifest.explainer == "none":
            return [Explanation("not_offered")] * len(vectors)
        is_warm = release.manifest_digest in self._warm
        patience_ms = budget_ms if is_warm else max(budget_ms, self._start_budget_ms)
        try:
            async with asyncio.timeout(patience_ms / 1_000):
                reply = await self._asked(release, vectors)
        except TimeoutError:
            return [Explanation("late")] * len(vectors)
        except (OSError, EOFError, PlatformError):  # the last: it is on the shelf no longer
            return [Explanation("unavailable")] * len(vectors)
        self._warm.add(release.manifest_digest)
        return _explanations(reply, len(vectors))

    async def close(self) -> None:
        """End the process."""
        if self._starting is not None:
            with suppress(OSError):
                await self._starting
        self._hear()
        process, self._process = self._process, None
        if process is not None:
            await process.end()
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None

    async def _asked(self, release: LoadedRelease, vectors: Sequence[NDArray[np.float32]]) -> Reply:
        process = await self._running()
        self._number += 1
        number = self._number
        bundle = self._bundle_of(*release.key).absolute()
        rows = [[None if np.isnan(v) else float(v) for v in vector] for vector in vectors]
        request = Request(number, str(bundle), release.manifest_digest, rows)
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        waiting = self._waiting
        waiting[number] = reply
        if self._silent is None:
            loop = asyncio.get_running_loop()
            self._silent = loop.call_later(HANGS_AFTER_S, self._end, process)
        try:
            process.writer.write(_encoder.encode(request) + b"\n")
            await process.writer.drain()
            return await reply
        finally:
            waiting.pop(number, None)
            if reply.done() and not reply.cancelled():
                reply.exception()  # whom the pipe told first need not be told again, by the log

    async def _running(self) -> Child:
        if self._process is not None and not self._process.is_over:
            return self._process
        if self._starting is None:
            self._starting = asyncio.create_task(self._started())
        return await asyncio.shield(self._starting)  # others wait for it when one is late

    async def _started(self) -> Child:
        try:
            self._warm.clear()
            self._hear()
            process = await Child.started(self._command, longest_line=MAX_REPLY_BYTES)
        finally:
            self._starting = None
        self._waiting = {}  # whoever waits for the one before hears of its end from it
        self._listener = asyncio.create_task(self._listen(process, self._waiting))
        self._process = process
        return process

    async def _listen(self, process: Child, waiting: dict[int, asyncio.Future[Reply]]) -> None:
        """Hand replies to who waits; when the process ends, all who wait learn it."""
        try:
            with suppress(ConnectionError):  # it was killed before it had read all
                while line := await process.reader.readline():
                    reply = _decoder.decode(line)
                    self._hear()
                    future = waiting.pop(reply.number, None)
                    if future is not None and not future.done():
                        future.set_result(reply)
        finally:
            for future in waiting.values():
                if not future.done():
                    future.set_exception(EOFError("the explainer ended"))
            await process.end()

    def _hear(self) -> None:
        """It has said something, or there is nobody to listen to: nothing is waited for."""
        if self._silent is not None:
            self._silent.cancel()
            self._silent = None

    def _end(self, process: Child) -> None:
        """Kill a process that somebody waited for in vain."""
        self._silent = None
        process.kill()


def _explanations(reply: Reply, count: int) -> list[Explanation]:
    if reply.status != "exact":
        status: Status = "not_offered" if reply.status == "not_offered" else "unavailable"
        return [Explanation(status)] * count
    features = tuple(reply.features)
    return [Explanation("exact", row[-1], features, tuple(row[:-1])) for row in reply.contributions]
