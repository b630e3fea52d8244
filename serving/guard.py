"""Guards: calls of a dependency that may fail, stand still or be slow, and must hold nobody up.

A call has a budget of time, and a breaker before it: what failed again and again is left alone
for a while, so that answers which do without it leave at once. Caller and breaker live on one
event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from core.breaker import Breaker, State
from core.clock import Clock
from core.errors import DependencyError
from serving.ports import Reader
from serving.process import Told

T = TypeVar("T")

SLOW, RESTING = "dependency_slow", "dependency_resting"
"""Codes of what a guard itself says, beside what the dependency says."""
MOST_FAILURES, REST_S = 6, 1.0
"""Six failures in a row are no accident; a try each second finds what is back soon enough and costs
one answer in a second what it would have had of it."""

Changed = Callable[[State], None]
"""Told that calls stopped (``open``) or go on (``closed``); first of all that they go."""


class Guard:
    """Calls one dependency within a budget, behind a breaker.

    Parameters
    ----------
    name
        What it is, as sentences call it.
    budget_ms
        Longest that a call may take, whether or not its caller waits that long: else callers in
        haste would ask for ever what never answers. None where the dependency itself keeps the
        time, which spares every call a timer of its own, 4 us, or the call says its budget.
    told
        Gets a sentence when calls stop, and when they go on.
    changed
        Told the same in one word; for metrics.
    """

    def __init__(
        self,
        name: str,
        breaker: Breaker,
        clock: Clock,
        *,
        budget_ms: int | None,
        told: Told,
        changed: Changed,
    ) -> None:
        self._name = name
        self._breaker = breaker
        self._clock = clock
        self._budget_s = None if budget_ms is None else budget_ms / 1_000
        self._running: set[asyncio.Task[object]] = set()
        self._told = told
        self._changed = changed
        changed("closed")

    async def call(self, ask: Callable[[], Awaitable[T]], *, budget_s: float | None = None) -> T:
        """What ``ask`` gives; with a budget of its own it ends with its caller.

        Raises
        ------
        DependencyError
            What the dependency raised; with the code ``dependency_slow`` when its time was up,
            ``dependency_resting`` when it was not asked at all.
        OSError
            What the dependency raised.
        """
        if not self._breaker.lets(self._clock.monotonic_s()):
            raise DependencyError(
                f"{self._name} failed again and again and is left alone for a while",
                remedy="see that it runs and can be reached; it is tried again by itself",
                code=RESTING,
            )
        if self._budget_s is None:
            return await self._watched(ask, budget_s)
        task = asyncio.get_running_loop().create_task(self._watched(ask, self._budget_s))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _watched(self, ask: Callable[[], Awaitable[T]], budget_s: float | None) -> T:
        try:
            if budget_s is None:
                found = await ask()
            else:
                async with asyncio.timeout(budget_s):
                    found = await ask()
        except TimeoutError:
            self._has_failed()
            raise DependencyError(
                f"{self._name} took too long",
                found="" if budget_s is None else f"more than {budget_s * 1_000:g} ms",
                remedy="see what holds it up",
                code=SLOW,
            ) from None
        except (DependencyError, OSError):
            self._has_failed()
            raise
        if self._breaker.succeeded():
            self._told(f"{self._name} answers again")
            self._changed("closed")
        return found

    def _has_failed(self) -> None:
        if self._breaker.failed(self._clock.monotonic_s()):
            self._told(f"{self._name} failed again and again; tried only now and then from here")
            self._changed("open")


class GuardedReader:
    """Reads online values through a guard."""

    def __init__(self, reader: Reader, guard: Guard) -> None:
        self._reader = reader
        self._guard = guard

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of ``keys``; DependencyError or OSError as `Guard.call` has them."""
        return await self._guard.call(lambda: self._reader.read(keys))

    def close(self) -> None:
        """Give back what the reader holds."""
        self._reader.close()
