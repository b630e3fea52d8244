"""Groups: what several senders ask at once is done together, as one piece of work.

A write to a disk or a store costs about the same for one event and for a hundred. So whoever
comes while a group is at work joins the next one; nobody waits for others to come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from core.errors import OverloadedError

Item = TypeVar("Item")
Found = TypeVar("Found")

MAX_WAITING = 20_000
"""Members that may wait; who would make them more is told to come back: half a second's work."""

MAX_TOGETHER = 2_000
"""Members of a group, unless one sender has more: what they come to has a budget of time."""


class Groups(Generic[Item, Found]):
    """Does members of senders in groups, one group at a time, on one event loop.

    Parameters
    ----------
    work
        What a group comes to, a result for each member in order.
    what
        What members wait for, as the refusal of one too many says it.
    """

    def __init__(
        self, work: Callable[[Sequence[Item]], Awaitable[Sequence[Found]]], what: str
    ) -> None:
        self._work = work
        self._what = what
        self._waiting: list[tuple[Sequence[Item], asyncio.Future[list[Found]]]] = []
        self._n_waiting = 0
        self._worker: asyncio.Task[None] | None = None

    async def do(self, items: Sequence[Item]) -> list[Found]:
        """Results of a sender's members, in order.

        Raises
        ------
        OverloadedError
            If too many wait already; nothing is done then.
        PlatformError
            What the work raises: each sender of the group hears of it.
        """
        self.admit(len(items))
        done: asyncio.Future[list[Found]] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, done))
        self._n_waiting += len(items)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._follow())
        return await done

    def admit(self, n: int) -> None:
        """OverloadedError where ``n`` members more would be too many to wait."""
        if self._n_waiting + n > MAX_WAITING:
            raise OverloadedError(
                f"events come faster than {self._what}",
                found=f"{self._n_waiting} waiting",
                remedy="send them again a little later",
                code="events_waiting",
            )

    def _next_group(self) -> list[tuple[Sequence[Item], asyncio.Future[list[Found]]]]:
        """Senders in the order they came, as many as may go together."""
        n = n_senders = 0
        for items, _ in self._waiting:
            if n_senders and n + len(items) > MAX_TOGETHER:
                break
            n, n_senders = n + len(items), n_senders + 1
        group, self._waiting = self._waiting[:n_senders], self._waiting[n_senders:]
        self._n_waiting -= n
        return group

    async def _follow(self) -> None:
        while self._waiting:
            group = self._next_group()
            members = [member for each, _ in group for member in each]
            try:
                found = await self._work(members)
            except Exception as error:  # each sender hears of it; the worker goes on
                for _, done in group:
                    if not done.done():
                        done.set_exception(error)
                continue
            start = 0
            for each, done in group:
                if not done.done():
                    done.set_result(list(found[start : start + len(each)]))
                start += len(each)
