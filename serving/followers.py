"""Followers: work that goes on beside the requests for as long as the service does.

A follower knows what may go wrong and goes on by itself. One that meets something else is told of
and begins again: the access keys, for one, must be followed whatever somebody puts where processes
count together, or a revoked key would open for as long as the worker lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial

from core.clock import Clock
from serving.telemetry.log_lines import tell_failed
from serving.telemetry.repeats import Repeats

BEGINS_AGAIN_S = 1.0
"""After so long: well within the five seconds in which a revoked key must open nothing."""

Follow = Callable[[], Awaitable[None]]


@asynccontextmanager
async def following(
    followers: Mapping[str, Follow], clock: Clock, *, again_s: float = BEGINS_AGAIN_S
) -> AsyncIterator[None]:
    """Followers at work, by what the log calls them, until the end of the block."""
    repeats = Repeats(clock)
    tasks = [asyncio.create_task(_kept_up(*each, repeats, again_s)) for each in followers.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def _kept_up(name: str, follow: Follow, repeats: Repeats, again_s: float) -> None:
    while True:
        try:
            await follow()
        except Exception as error:  # whatever it is, it must not be the last look
            repeats.met(name, partial(tell_failed, name, error))
        await asyncio.sleep(again_s)
