"""One contract for every online store: the fake, SQLite, Redis, Redis by socket, Redis Cluster."""

from __future__ import annotations

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from memory_store import MemoryOnlineStore
from servers import RedisServer, redis_server

from core.errors import ConfigurationError, DependencyError
from core.ports import OnlineStore
from orchestration.processes import free_port
from stores.online import open_online_store

NOW_MS = 1_780_000_000_000
DAY_MS = 86_400_000
WEIRD_KEYS = [b"", b"\x00", b"\xff\xfe}{", b"base/v/\x00\x021", "é🐘".encode(), b"k" * 500]


@pytest.fixture(scope="module")
def redis_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tl") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def one_redis(redis_folder: Path) -> Iterator[RedisServer]:
    (redis_folder / "one").mkdir()
    with redis_server(redis_folder / "one") as server:
        yield server


@pytest.fixture(scope="module")
def redis_cluster(redis_folder: Path) -> Iterator[RedisServer]:
    (redis_folder / "cluster").mkdir()
    with redis_server(redis_folder / "cluster", is_cluster=True) as server:
        yield server


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        pytest.param("redis", marks=pytest.mark.redis),
        pytest.param("socket", marks=pytest.mark.redis),
        pytest.param("cluster", marks=pytest.mark.redis),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OnlineStore]:
    opened: OnlineStore
    if request.param == "memory":
        opened = MemoryOnlineStore()
    elif request.param == "sqlite":
        opened = open_online_store(f"sqlite:///{tmp_path}/made/for/it/online.sqlite")
    else:
        name = "redis_cluster" if request.param == "cluster" else "one_redis"
        server: RedisServer = request.getfixturevalue(name)
        server.clear()
        urls = {"redis": server.url, "socket": server.socket_url, "cluster": server.cluster_url}
        opened = open_online_store(urls[request.param])
    yield opened
    opened.close()


def test_values_come_back_in_the_order_of_keys(store: OnlineStore):
    store.write({key: b"value of " + key for key in WEIRD_KEYS})

    asked = [*reversed(WEIRD_KEYS), b"absent", WEIRD_KEYS[0]]

    assert store.read(asked) == [
        *(b"value of " + key for key in reversed(WEIRD_KEYS)),
        None,
        b"value of " + WEIRD_KEYS[0],
    ]


def test_nothing_asked_is_nothing_answered(store: OnlineStore):
    store.write({})
    store.delete([])

    assert store.read([]) == []
    assert store.claim({}, expires_in_ms=DAY_MS, now_ms=NOW_MS) == {}


def test_a_write_replaces_and_a_delete_removes(store: OnlineStore):
    store.write({b"a": b"old", b"b": b"kept"})
    store.write({b"a": b"new" * 10_000, b"c": b""})
    store.delete([b"b", b"never there"])

    assert store.read([b"a", b"b", b"c"]) == [b"new" * 10_000, None, b""]


def test_more_keys_than_one_statement_holds(store: OnlineStore):
    items = {b"many/%d" % n: b"%d" % n for n in range(2_500)}
    store.write(items)

    assert store.read(list(items)) == list(items.values())
    store.delete(list(items))
    assert store.read(list(items)) == [None] * len(items)


def test_the_first_claim_wins_and_later_ones_learn_it(store: OnlineStore):
    first, later = {b"id-1": b"one"}, {b"id-1": b"uno", b"id-2": b"two"}

    assert store.claim(first, expires_in_ms=DAY_MS, now_ms=NOW_MS) == {}
    assert store.claim(later, expires_in_ms=DAY_MS, now_ms=NOW_MS) == {b"id-1": b"one"}
    assert store.claim(later, expires_in_ms=DAY_MS, now_ms=NOW_MS) == {
        b"id-1": b"one",
        b"id-2": b"two",
    }


def test_a_claim_is_no_value(store: OnlineStore):
    store.claim({b"shared": b"claimed"}, expires_in_ms=DAY_MS, now_ms=NOW_MS)

    assert store.read([b"shared"]) == [None]
    store.write({b"shared": b"value"})
    store.delete([b"shared"])
    held = store.claim({b"shared": b"again"}, expires_in_ms=DAY_MS, now_ms=NOW_MS)
    assert held == {b"shared": b"claimed"}


def test_a_claim_can_be_made_again_when_it_has_expired(store: OnlineStore):
    store.claim({b"short": b"first"}, expires_in_ms=2_000, now_ms=NOW_MS)
    held = store.claim({b"short": b"too early"}, expires_in_ms=2_000, now_ms=NOW_MS + 1)
    assert held == {b"short": b"first"}

    over_ms = NOW_MS + 2_000  # Redis goes by its own clock, the others by now_ms
    tries = 0
    while store.claim({b"short": b"second"}, expires_in_ms=DAY_MS, now_ms=over_ms):
        tries += 1
        assert tries < 600
        time.sleep(0.1)
    held = store.claim({b"short": b"third"}, expires_in_ms=DAY_MS, now_ms=over_ms)
    assert held == {b"short": b"second"}


def test_threads_share_a_store_and_one_of_them_gets_a_claim(store: OnlineStore):
    answers: list[dict[bytes, bytes]] = []

    def work(name: bytes) -> None:
        for n in range(25):
            store.write({b"thread/%b/%d" % (name, n): name})
        answers.append(store.claim({b"contested": name}, expires_in_ms=DAY_MS, now_ms=NOW_MS))

    threads = [threading.Thread(target=work, args=(b"%d" % n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    keys = [b"thread/%d/%d" % (name, n) for name in range(6) for n in range(25)]
    assert None not in store.read(keys)
    assert sum(answer == {} for answer in answers) == 1
    assert len({answer[b"contested"] for answer in answers if answer}) == 1


def _write_from_a_process(url: str, name: int) -> None:
    store = open_online_store(url, timeout_s=10)
    for n in range(20):
        store.write({b"process/%d/%d" % (name, n): b"x" * 2_000})
    store.claim({b"owner": b"%d" % name}, expires_in_ms=DAY_MS, now_ms=NOW_MS)
    store.close()


def test_processes_share_a_sqlite_file_from_its_first_moment(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/online.sqlite"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write_from_a_process, args=(url, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    store = open_online_store(url)
    keys = [b"process/%d/%d" % (name, n) for name in range(4) for n in range(20)]
    assert store.read(keys) == [b"x" * 2_000] * len(keys)
    held = store.claim({b"owner": b"late"}, expires_in_ms=DAY_MS, now_ms=NOW_MS)
    assert held[b"owner"] in {b"0", b"1", b"2", b"3"}
    store.close()


def test_a_sqlite_store_survives_a_fork(tmp_path: Path):
    store = open_online_store(f"sqlite:///{tmp_path}/online.sqlite")
    store.write({b"before": b"fork"})

    def write_and_close() -> None:
        store.write({b"in": b"child"})
        store.close()

    child = multiprocessing.get_context("fork").Process(target=write_and_close)
    child.start()
    child.join(30)

    assert child.exitcode == 0
    assert store.read([b"before", b"in"]) == [b"fork", b"child"]
    store.close()


def test_sqlite_keeps_values_when_it_is_opened_again(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/online.sqlite"
    first = open_online_store(url)
    first.write({b"a": b"1"})
    first.close()

    second = open_online_store(url)
    assert second.read([b"a"]) == [b"1"]
    second.close()


def test_a_file_that_is_no_database_is_a_failed_dependency(tmp_path: Path):
    (tmp_path / "online.sqlite").write_bytes(b"not a database" * 100)

    with pytest.raises(DependencyError, match=r"SQLite.*online\.sqlite"):
        open_online_store(f"sqlite:///{tmp_path}/online.sqlite")


def test_a_writer_that_never_ends_is_a_failed_dependency(tmp_path: Path):
    import sqlite3

    url = f"sqlite:///{tmp_path}/online.sqlite"
    store = open_online_store(url, timeout_s=0.05)
    other = sqlite3.connect(tmp_path / "online.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(DependencyError, match="locked"):
        store.write({b"a": b"1"})
    assert store.read([b"a"]) == [None]

    other.execute("ROLLBACK")
    store.write({b"a": b"1"})
    assert store.read([b"a"]) == [b"1"]
    store.close()
    other.close()


@pytest.mark.redis
def test_a_redis_that_dies_is_a_failed_dependency_and_is_found_again_by_no_retry():
    with tempfile.TemporaryDirectory(prefix="tl") as folder:
        with redis_server(Path(folder)) as server:
            store = open_online_store(server.url, timeout_s=0.5)
            store.write({b"a": b"1"})
            server.stop()
            calls = [
                lambda: store.read([b"a"]),
                lambda: store.write({b"a": b"2"}),
                lambda: store.delete([b"a"]),
                lambda: store.claim({b"a": b"2"}, expires_in_ms=DAY_MS, now_ms=NOW_MS),
            ]
            for call in calls:
                started = time.monotonic()
                with pytest.raises(DependencyError, match="Redis") as caught:
                    call()
                assert caught.value.is_retryable
                assert time.monotonic() - started < 20
        store.close()


@pytest.mark.redis
def test_a_cluster_that_is_not_there_is_a_failed_dependency():
    with pytest.raises(DependencyError, match="Redis"):
        open_online_store(f"redis+cluster://127.0.0.1:{free_port()}", timeout_s=0.2)


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///", "postgres://host", "/a/path"])
def test_a_url_of_another_form_is_refused(url: str):
    with pytest.raises(ConfigurationError, match="no known form"):
        open_online_store(url)


def test_a_refused_url_does_not_repeat_a_password():
    with pytest.raises(ConfigurationError) as caught:
        open_online_store("postgres://user:hunter2@host")
    assert "hunter2" not in str(caught.value)


def test_keys_are_found_by_how_they_begin(store):
    odd = [b"k[a]*/\x00", b"k[a]*/\xff", b"ka/1", b"k[a]/1", b"kk", b"l"]
    store.write(dict.fromkeys(odd, b"value"))
    assert store.keys(b"k[a]*/") == [b"k[a]*/\x00", b"k[a]*/\xff"]
    assert store.keys(b"k") == sorted(odd[:5])
    assert store.keys(b"none") == []
