from __future__ import annotations

import asyncio

import pytest

from core.clock import SystemClock
from serving.followers import following


def test_a_follower_that_fails_is_told_of_and_begins_again_and_stops_no_other(caplog):
    looks = {"one": 0, "other": 0}
    enough = asyncio.Event()

    async def one():
        looks["one"] += 1
        if looks["one"] < 3:
            raise ValueError("what somebody put there")
        enough.set()
        await asyncio.sleep(60)

    async def other():
        looks["other"] += 1
        await asyncio.sleep(60)

    async def followed():
        async with following({"one": one, "other": other}, SystemClock(), again_s=0.001):
            await asyncio.wait_for(enough.wait(), 60)

    asyncio.run(followed())
    assert looks == {"one": 3, "other": 1}
    told = [record for record in caplog.records if record.name == "throughline"]
    assert [record.getMessage() for record in told] == ["one: an unforeseen error"]  # said once


def test_all_end_with_the_block_and_its_error_is_passed_on():
    ended = []

    async def follower():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("follower")

    async def followed():
        async with following({"one": follower}, SystemClock()):
            await asyncio.sleep(0)
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(followed())
    assert ended == ["follower"]
