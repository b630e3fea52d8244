"""Readers whose values come together go on in turns of the loop that are their own."""

import asyncio

from core.errors import DependencyError
from serving.engine.turns import OneATurn


class Store:
    """Answers at once, or fails."""

    def __init__(self, error=None):
        self.error = error
        self.is_closed = False

    async def read(self, keys):
        if self.error is not None:
            raise self.error
        return [bytes(key) for key in keys]

    def close(self):
        self.is_closed = True


async def turns_of(reader, n):
    """In which turn of the loop each of ``n`` readers went on, and what it was given."""
    loop, turn = asyncio.get_running_loop(), 0

    def counted():
        nonlocal turn
        turn += 1
        loop.call_soon(counted)

    async def one(number):
        try:
            values = await reader.read([bytes([number])])
        except DependencyError as error:
            values = error
        return turn, values

    counted()
    return await asyncio.gather(*(one(number) for number in range(n)))


def test_each_goes_on_in_a_turn_of_its_own_with_what_it_asked_for():
    found = asyncio.run(turns_of(OneATurn(Store()), 5))
    turns = [turn for turn, _ in found]
    assert turns == sorted(set(turns))
    assert [values for _, values in found] == [[bytes([n])] for n in range(5)]


def test_who_is_alone_waits_for_nobody():
    async def asked():
        loop = asyncio.get_running_loop()
        went_on: list[str] = []
        reader = OneATurn(Store())
        loop.call_soon(went_on.append, "the next turn")
        await reader.read([b"a"])
        return list(went_on)

    assert asyncio.run(asked()) == []


def test_an_error_is_told_in_turn():
    found = asyncio.run(turns_of(OneATurn(Store(DependencyError("down"))), 3))
    assert len({turn for turn, _ in found}) == 3
    assert all(isinstance(error, DependencyError) for _, error in found)


def test_it_closes_what_it_reads_from():
    store = Store()
    OneATurn(store).close()
    assert store.is_closed
