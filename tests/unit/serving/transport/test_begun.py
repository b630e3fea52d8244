import asyncio

import pytest

from serving.transport.begun import Begun, Finished, begun


async def waiting(*steps, value=7):
    for step in steps:
        await step
    return value


def test_what_is_there_needs_no_turn():
    assert begun(waiting()) == Finished(7)


def test_what_waits_goes_on_where_it_waited():
    async def ask():
        first = begun(waiting(asyncio.sleep(0.01), asyncio.sleep(0), asyncio.sleep(0.01)))
        assert isinstance(first, Begun)
        return await first

    assert asyncio.run(ask()) == 7


def test_an_error_comes_through_at_once_or_later():
    async def fails(step=None):
        if step is not None:
            await step
        raise LookupError

    async def later():
        first = begun(fails(asyncio.sleep(0)))
        assert isinstance(first, Begun)
        await first

    with pytest.raises(LookupError):
        begun(fails())
    with pytest.raises(LookupError):
        asyncio.run(later())


def test_a_time_limit_reaches_what_waits():
    ended = []

    async def long():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("ended")

    async def ask():
        first = begun(long())
        assert isinstance(first, Begun)
        async with asyncio.timeout(0.01):
            await first

    with pytest.raises(TimeoutError):
        asyncio.run(ask())
    assert ended == ["ended"]
