"""Together: requests that come in one turn of the loop share a pass, and so do those that wait.

Alone on a quiet day a request starts its pass at once. While a pass of the same release runs,
those that come gather and go when it has ended and its answers have left: a pass costs hardly
more for eight than for one, and the busier it is, the more go together. None waits longer than
`LONGEST_HOLD_S` for another's pass, however long that takes. A request that a pass cannot answer
must not fail its neighbours, so a shared pass that fails is run again, each request by itself; not
so where the model took too long, for which none of them is to blame. A pass that nobody waits for
any more is given up: it would record answers that nobody got.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from serving.engine.passes import Asked
from serving.errors import SlowModelError
from serving.models.releases import LoadedRelease
from serving.ports import Json

MOST_TOGETHER = 32
"""Requests of one pass: longer ones would hold up the loop for more than a few milliseconds."""

LONGEST_HOLD_S = 0.002
"""A pass takes less than a millisecond where the store answers at once; if not, others go on."""

LAST_CALL_TURNS = 12
"""Turns of the loop between a pass and the next of those that waited for it. In these its answers
leave, and who is answered and asks again joins; without them callers fall into two halves that take
turns, and each half pays for passes of its own."""

Run = Callable[[LoadedRelease, str, Sequence[Asked]], Awaitable[list[list[Json]]]]
Waiting = list[tuple[Asked, asyncio.Future[list[Json]]]]
Key = tuple[int, str]


@dataclass(slots=True)
class _Group:
    """Requests that gather for one pass, and what ends its wait for another; None for no wait.

    ``pass_`` is their first one while it runs, and ``is_left`` once nobody waits for it.
    """

    release: LoadedRelease
    hold: asyncio.TimerHandle | None = None
    waiting: Waiting = field(default_factory=list)
    pass_: asyncio.Task[None] | None = None
    is_left: bool = False

    def leave(self) -> None:
        """Somebody waits no longer; the last one ends the pass."""
        if self.pass_ is not None and all(answers.done() for _, answers in self.waiting):
            self.is_left = True
            self.pass_.cancel()


class Together:
    """Gathers requests by release and channel; made and used on one event loop.

    Parameters
    ----------
    run
        A pass: answers of each request, in order.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._groups: dict[Key, _Group] = {}
        self._n_running: Counter[Key] = Counter()
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, release: LoadedRelease, channel: str, request: Asked) -> list[Json]:
        """Answers of one request; raises what a pass of its own would raise."""
        loop = asyncio.get_running_loop()
        answers: asyncio.Future[list[Json]] = loop.create_future()
        key = id(release), channel
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(release)
            if self._n_running[key]:
                group.hold = loop.call_later(LONGEST_HOLD_S, self._close, key)
            else:
                self._begin(key, group)
        group.waiting.append((request, answers))
        if len(group.waiting) >= MOST_TOGETHER:
            self._close(key)
        try:
            return await answers
        except asyncio.CancelledError:
            group.leave()
            raise

    def _close(self, key: Key) -> None:
        """Nobody joins any more; what waited for another pass waits no longer."""
        group = self._groups.pop(key)
        if group.hold is not None:
            group.hold.cancel()
            self._begin(key, group)

    def _begin(self, key: Key, group: _Group) -> None:
        """Start its pass with the next turn of the loop; until then others join."""
        self._n_running[key] += 1
        work = self._first_pass(key, group)
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _first_pass(self, key: Key, group: _Group) -> None:
        """A pass of a whole group; when it ends, those that gathered meanwhile go."""
        if self._groups.get(key) is group:
            del self._groups[key]
        group.waiting = [each for each in group.waiting if not each[1].done()]  # others have gone
        if not group.waiting:
            self._has_ended(key)
            return
        requests = [request for request, _ in group.waiting]
        found: list[list[Json]] | Exception
        group.pass_ = asyncio.current_task()
        try:
            try:
                found = await self._run(group.release, key[1], requests)
            except Exception as error:
                found = error
            group.pass_ = None
            self._has_ended(key)
            if isinstance(found, Exception):
                await self._again(group, key[1], found)
                return
        except BaseException:  # nobody waits, or the loop ends
            self._given_up(key, group)
            raise
        for (_, answers), of_request in zip(group.waiting, found, strict=True):
            _give(answers, of_request)

    def _given_up(self, key: Key, group: _Group) -> None:
        for _, answers in group.waiting:
            answers.cancel()
        if group.is_left:
            self._has_ended(key)

    def _has_ended(self, key: Key) -> None:
        self._n_running[key] -= 1
        if not self._n_running[key]:
            del self._n_running[key]
            group = self._groups.get(key)
            if group is not None:
                self._last_call(key, group, LAST_CALL_TURNS)

    def _last_call(self, key: Key, group: _Group, turns: int) -> None:
        """Let those join who come while answers leave; then the group goes, if it has not yet."""
        if self._groups.get(key) is not group:
            return
        if turns:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._last_call, key, group, turns - 1)
        else:
            self._close(key)

    async def _again(self, group: _Group, channel: str, error: Exception) -> None:
        """Each request of a failed pass by itself; who was alone is told."""
        if len(group.waiting) == 1 or isinstance(error, SlowModelError):
            for _, answers in group.waiting:
                _give(answers, error)
            return
        for request, answers in group.waiting:
            try:
                (found,) = await self._run(group.release, channel, [request])
            except Exception as its_own:
                _give(answers, its_own)
            else:
                _give(answers, found)


def _give(answers: asyncio.Future[list[Json]], found: list[Json] | Exception) -> None:
    if answers.done():  # whoever asked has gone
        return
    if isinstance(found, Exception):
        answers.set_exception(found)
    else:
        answers.set_result(found)
