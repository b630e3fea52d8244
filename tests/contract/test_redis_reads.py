"""Reads of one tick as one command, against a real redis-server."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest
import redis
from servers import redis_server

from core.errors import DependencyError
from stores.online.redis import RedisOnlineStore
from stores.online.redis_reads import KEYS_A_COMMAND, TickReader

pytestmark = pytest.mark.redis

SILENT_FOR_S = 60.0  # how long a reader would wait for a server that says nothing


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("r")) as running:
        yield running


@pytest.fixture
def own_server(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("own")) as running:
        yield running


def with_reader(url, use, **options):
    async def run():
        reader = TickReader(url, **options)
        try:
            return await use(reader)
        finally:
            reader.close()

    return asyncio.run(run())


def n_mget(server):
    with redis.Redis(port=server.port) as client:
        return client.info("commandstats").get("cmdstat_mget", {}).get("calls", 0)


@pytest.mark.parametrize("scheme", ["url", "socket_url"])
def test_values_are_those_of_the_store_whoever_asks_for_what(server, scheme):
    keys = [f"k{n}/\x00{n}\r\n".encode() for n in range(2 * KEYS_A_COMMAND + 7)]
    keys += [b"k" * size for size in (1, 255, 256, 257, 70_000)]
    store = RedisOnlineStore.at(server.url)
    store.write({key: key * (n % 3) for n, key in enumerate(keys) if n % 5})
    asked = [keys, keys[3:1_500:7], [keys[1], keys[0], keys[1]], [b"never"], []]

    async def all_at_once(reader):
        return await asyncio.gather(*map(reader.read, asked))

    assert with_reader(getattr(server, scheme), all_at_once) == [store.read(each) for each in asked]
    store.close()


def test_what_is_asked_in_one_tick_is_one_command(server):
    async def use(reader):
        await reader.read([b"first"])
        before = n_mget(server)
        await asyncio.gather(*(reader.read([b"shared", b"%d" % n]) for n in range(200)))
        return n_mget(server) - before

    assert with_reader(server.url, use) == 1


def test_a_caller_that_went_away_takes_no_answer_of_another(server):
    RedisOnlineStore.at(server.url).write({b"a": b"1", b"b": b"2"})

    async def use(reader):
        await reader.read([b"a"])
        gone = asyncio.create_task(reader.read([b"a"]))
        stays = asyncio.create_task(reader.read([b"b"]))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays, await reader.read([b"a"])

    assert with_reader(server.url, use) == ([b"2"], [b"1"])


def test_name_password_and_database_are_given(own_server):
    with redis.Redis(port=own_server.port) as client:
        client.execute_command("ACL", "SETUSER", "reader", "on", ">p:w/ä", "~*", "+@all")
        client.execute_command("CONFIG", "SET", "requirepass", "other")
    url = f"redis://reader:p%3Aw%2F%C3%A4@127.0.0.1:{own_server.port}/3"
    with redis.Redis.from_url(url) as client:
        client.set("here", "3")
    assert with_reader(url, lambda reader: reader.read([b"here"])) == [b"3"]
    with pytest.raises(DependencyError, match="WRONGPASS"):
        with_reader(url.replace("reader", "nobody"), lambda reader: reader.read([b"here"]))
    with pytest.raises(DependencyError, match="Authentication required"):
        with_reader(own_server.url, lambda reader: reader.read([b"here"]))


def test_a_server_that_is_gone_fails_at_once_and_is_found_again(own_server, tmp_path_factory):
    async def use(reader):
        await reader.read([b"a"])
        own_server.stop()
        for _ in range(3):
            started_s = time.monotonic()
            with pytest.raises(DependencyError):
                await reader.read([b"a"])
            assert time.monotonic() - started_s < SILENT_FOR_S / 2
        with redis_server(tmp_path_factory.mktemp("again"), port=own_server.port):
            return await reader.read([b"a"])

    assert with_reader(own_server.url, use, timeout_s=SILENT_FOR_S) == [None]


def test_a_silent_server_fails_everything_in_time_and_later_answers_fresh(own_server):
    with redis.Redis(port=own_server.port) as client:
        pid = client.info("server")["process_id"]
        client.set("a", "old")

    async def use(reader):
        await reader.read([b"a"])
        os.kill(pid, signal.SIGSTOP)
        try:
            started_s = time.monotonic()
            failed = await asyncio.gather(
                *(reader.read([b"a"]) for _ in range(200)), return_exceptions=True
            )
            spent_s = time.monotonic() - started_s
        finally:
            os.kill(pid, signal.SIGCONT)
        with redis.Redis(port=own_server.port) as client:
            client.set("a", "new")
        return failed, spent_s, await reader.read([b"a"])

    failed, spent_s, fresh = with_reader(own_server.url, use, timeout_s=0.2)
    assert all(isinstance(each, DependencyError) for each in failed)
    assert 0.2 <= spent_s < 20.0  # one after another would take forty
    assert fresh == [b"new"]


@pytest.mark.parametrize(
    "said",
    [
        b"$3\r\nabc\r\n",
        b":7\r\n",
        b"$-1\r\n",
        b"*1\r\n$1\r\n1\r\n",
        b"*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n",
    ],
    ids=["text", "number", "nothing", "too_few", "too_many"],
)
def test_who_answers_something_else_is_a_server_that_failed(said):
    """As what stands at the port of a server that has moved; nobody waits for it for ever."""

    async def answer(reader, writer):
        await reader.read(1_000)
        writer.write(said)

    async def use():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader = TickReader(f"redis://127.0.0.1:{port}", timeout_s=SILENT_FOR_S)
        asked = asyncio.gather(
            reader.read([b"a", b"b"]), reader.read([b"b"]), return_exceptions=True
        )
        found = await asyncio.wait_for(asked, SILENT_FOR_S / 4)
        reader.close()
        server.close()
        return found

    assert [type(each) for each in asyncio.run(use())] == [DependencyError, DependencyError]
