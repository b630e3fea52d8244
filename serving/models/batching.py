"""Batching: rows of several passes scored by one call, where a call is dear.

For models on a GPU and for large ones, which score many rows in little more time than one. It
stands in the place of a runner with the same verb, and whoever asks cannot tell. An idle model is
asked at once, so nobody waits on a quiet day. While it is busy rows gather; the next batch
begins when the model is free and it is full, its oldest row has waited as long as it may, or
nobody else is there. Rows of a request that was given up are left out. A batch that fails is run
again request by request, so that one cannot fail its neighbours.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import OverloadedError
from core.ports import ModelRunner

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Batching:
    """How large a batch may grow, how long its oldest row may wait for company, and who waits.

    ``most_waiting_rows`` bounds the queue; who finds it full is refused at once.
    ``is_always`` batches fast models too, as those on a GPU are.
    """

    most_rows: int = 1_024
    wait_s: float = 0.002
    most_waiting_rows: int = 65_536
    is_always: bool = False


PLAIN = Batching()


@dataclass(frozen=True, slots=True)
class _Waiting:
    rows: Rows
    scores: asyncio.Future[Rows]
    since_s: float


class BatchingScorer:
    """Scores in one thread of its own, several requests at a time while it is busy.

    Made anywhere, used on one event loop.
    """

    def __init__(self, runner: ModelRunner, batching: Batching) -> None:
        self._runner = runner
        self._batching = batching
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batched-model")
        self._queue: deque[_Waiting] = deque()
        self._n_waiting_rows = 0
        self._is_busy = False
        self._had_company = False
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def score(self, vectors: Rows) -> Rows:
        """Scores, shape ``(n,)``, for vectors of shape ``(n, d)``.

        Raises
        ------
        OverloadedError
            If too many rows wait already.
        """
        if self._is_full(len(vectors)):
            self._leave_out()
            if self._is_full(len(vectors)):
                raise OverloadedError(
                    "too many rows wait for the model",
                    found=f"{self._n_waiting_rows} waiting, {self._batching.most_waiting_rows} may",
                    remedy="come back later",
                    code="model_busy",
                )
        loop = asyncio.get_running_loop()
        waiting = _Waiting(vectors, loop.create_future(), loop.time())
        self._queue.append(waiting)
        self._n_waiting_rows += len(vectors)
        self._look(loop)
        return await waiting.scores

    def _is_full(self, n_more: int) -> bool:
        n_rows = self._n_waiting_rows
        return n_rows > 0 and n_rows + n_more > self._batching.most_waiting_rows

    def _leave_out(self) -> None:
        """Take rows out of the queue that nobody waits for: no batch may begin for a long time."""
        self._queue = deque(each for each in self._queue if not each.scores.done())
        self._n_waiting_rows = sum(len(each.rows) for each in self._queue)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a batch, if the model is free and there is no reason to wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_busy or not self._queue:
            return
        wait_s = self._queue[0].since_s + self._batching.wait_s - loop.time()
        is_full = self._n_waiting_rows >= self._batching.most_rows
        if self._had_company and not is_full and wait_s > 0:
            self._timer = loop.call_later(wait_s, self._due, loop)
            return
        self._begin(loop)

    def _due(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if not self._is_busy and self._queue:
            self._begin(loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._next_batch()
        self._had_company = len(batch) > 1
        if not batch:
            return
        self._is_busy = True
        task = loop.create_task(self._run(loop, batch))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _next_batch(self) -> list[_Waiting]:
        """Requests in order, as many as fit; one that is larger than a batch goes alone."""
        batch: list[_Waiting] = []
        n_rows = 0
        while self._queue:
            n_more = len(self._queue[0].rows)
            if batch and n_rows + n_more > self._batching.most_rows:
                break
            waiting = self._queue.popleft()
            self._n_waiting_rows -= n_more
            if not waiting.scores.done():  # else whoever asked has gone
                batch.append(waiting)
                n_rows += n_more
        return batch

    async def _run(self, loop: asyncio.AbstractEventLoop, batch: Sequence[_Waiting]) -> None:
        try:
            await self._scored(loop, batch)
        finally:
            for waiting in batch:
                waiting.scores.cancel()  # those that were not answered: the loop ends
            self._is_busy = False
            self._look(loop)

    async def _scored(self, loop: asyncio.AbstractEventLoop, batch: Sequence[_Waiting]) -> None:
        rows = batch[0].rows if len(batch) == 1 else np.concatenate([each.rows for each in batch])
        try:
            scores = await loop.run_in_executor(self._thread, self._runner.score, rows)
        except Exception as error:
            if len(batch) == 1:
                if not batch[0].scores.done():
                    batch[0].scores.set_exception(error)
                return
            for each in batch:
                if not each.scores.done():  # else whoever asked has gone meanwhile
                    await self._scored(loop, [each])
            return
        start = 0
        for each in batch:
            end = start + len(each.rows)
            if not each.scores.done():
                each.scores.set_result(scores[start:end])
            start = end
