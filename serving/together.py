"""Together: requests that come in one turn of the loop share a pass.

Nobody waits for company: the pass starts in the next turn with whoever is there, alone on a
quiet day. A request that a pass cannot answer must not fail its neighbours, so a shared pass
that fails is run again, each request by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from serving.passes import Asked
from serving.ports import Json
from serving.releases import LoadedRelease

MOST_TOGETHER = 64
"""Requests of one pass: longer ones would hold up the loop for more than a few milliseconds."""

Run = Callable[[LoadedRelease, str, Sequence[Asked]], Awaitable[list[list[Json]]]]
Waiting = list[tuple[Asked, asyncio.Future[list[Json]]]]


class Together:
    """Gathers requests by release and channel; made and used on one event loop.

    Parameters
    ----------
    run
        A pass: answers of each request, in order.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._gathering: dict[tuple[int, str], tuple[LoadedRelease, Waiting]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, release: LoadedRelease, channel: str, request: Asked) -> list[Json]:
        """Answers of one request; raises what a pass of its own would raise."""
        loop = asyncio.get_running_loop()
        answers: asyncio.Future[list[Json]] = loop.create_future()
        key = id(release), channel
        if key not in self._gathering:
            self._gathering[key] = release, []
            loop.call_soon(self._start, key)
        waiting = self._gathering[key][1]
        waiting.append((request, answers))
        if len(waiting) >= MOST_TOGETHER:
            self._start(key)
        return await answers

    def _start(self, key: tuple[int, str]) -> None:
        gathered = self._gathering.pop(key, None)
        if gathered is not None:  # else it was full and is on its way
            release, waiting = gathered
            task = asyncio.get_running_loop().create_task(self._pass(release, key[1], waiting))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _pass(self, release: LoadedRelease, channel: str, waiting: Waiting) -> None:
        try:
            found = await self._run(release, channel, [request for request, _ in waiting])
        except Exception as error:
            if len(waiting) == 1:
                _give(waiting[0][1], error)
                return
            for one in waiting:
                await self._pass(release, channel, [one])
        except BaseException:  # the loop ends
            for _, answers in waiting:
                answers.cancel()
            raise
        else:
            for (_, answers), of_request in zip(waiting, found, strict=True):
                _give(answers, of_request)


def _give(answers: asyncio.Future[list[Json]], found: list[Json] | Exception) -> None:
    if answers.done():  # whoever asked has gone
        return
    if isinstance(found, Exception):
        answers.set_exception(found)
    else:
        answers.set_result(found)
