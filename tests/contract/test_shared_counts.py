"""One contract for every place where workers count a rollout: SQLite, Redis, Redis Cluster."""

from __future__ import annotations

import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from payments import NOW_MS
from redis import Redis
from servers import redis_server

from core.errors import DependencyError
from stores.shared_counts import KEPT_MS, open_shared_counts
from stores.shared_counts.redis import RedisSharedCounts
from stores.shared_counts.sqlite import SqliteSharedCounts


@pytest.fixture(scope="module")
def redis_url():
    with tempfile.TemporaryDirectory(prefix="tl") as folder, redis_server(Path(folder)) as server:
        yield server.url


@pytest.fixture(scope="module")
def cluster_url():
    with (
        tempfile.TemporaryDirectory(prefix="tl") as folder,
        redis_server(Path(folder), is_cluster=True) as server,
    ):
        yield server.cluster_url


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("redis_url", marks=pytest.mark.redis),
        pytest.param("cluster_url", marks=pytest.mark.redis),
    ]
)
def counts(request, tmp_path):
    where = "sqlite:///x" if request.param == "sqlite" else request.getfixturevalue(request.param)
    opened = open_shared_counts(where, tmp_path / "made" / "for" / "it.sqlite")
    opened.forget("e")
    opened.forget("f")
    yield opened
    opened.close()


def test_the_last_document_of_each_worker_is_read(counts):
    for worker, document in [("a", b"1"), ("b", b"2"), ("a", b"3")]:
        counts.publish("e", worker, document, now_ms=NOW_MS)
    assert counts.read("e") == {"a": b"3", "b": b"2"}
    assert counts.read("f") == {}


def test_an_entity_is_new_to_one_who_tells_of_it_and_to_one_experiment(counts):
    assert counts.first_seen("e", [b"1", b"2", b"1"]) == [True, True, False]
    assert counts.first_seen("e", [b"2", b"\xff\x00"]) == [False, True]
    assert counts.first_seen("f", [b"1"]) == [True]
    assert counts.first_seen("e", []) == []


def test_entities_told_of_at_once_have_one_winner_each(counts):
    entities = [str(n).encode() for n in range(300)]
    found: list[list[bool]] = []
    threads = [
        threading.Thread(target=lambda: found.append(counts.first_seen("e", entities)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sum(each) for each in zip(*found, strict=True)] == [1] * len(entities)


def test_what_was_forgotten_is_gone(counts):
    counts.publish("e", "a", b"1", now_ms=NOW_MS)
    counts.first_seen("e", [b"1"])
    counts.forget("e")
    counts.forget("never")
    assert counts.read("e") == {}
    assert counts.first_seen("e", [b"1"]) == [True]


def test_a_file_drops_what_nobody_wrote_to_for_long(tmp_path):
    counts = SqliteSharedCounts(tmp_path / "counts.sqlite")
    counts.publish("e", "a", b"1", now_ms=NOW_MS)
    counts.publish("f", "a", b"2", now_ms=NOW_MS + KEPT_MS + 1)
    assert counts.read("e") == {}
    assert counts.read("f") == {"a": b"2"}


def test_a_file_that_was_taken_away_is_made_again(tmp_path):
    counts = SqliteSharedCounts(tmp_path / "counts.sqlite")
    counts.publish("e", "a", b"1", now_ms=NOW_MS)
    for path in tmp_path.glob("counts.sqlite*"):
        path.unlink()
    with pytest.raises(DependencyError, match="no such table"):
        counts.publish("e", "a", b"2", now_ms=NOW_MS)
    counts.publish("e", "a", b"2", now_ms=NOW_MS)
    assert counts.read("e") == {"a": b"2"}


def test_a_file_that_cannot_be_made_is_a_failure_of_a_dependency(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DependencyError, match="SQLite"):
        SqliteSharedCounts(tmp_path / "file" / "counts.sqlite").read("e")


def test_a_redis_that_is_not_there_is_a_failure_of_a_dependency():
    counts = RedisSharedCounts("redis://127.0.0.1:1/0")
    with pytest.raises(DependencyError, match="Redis"):
        counts.publish("e", "a", b"1", now_ms=NOW_MS)
    counts.close()


@pytest.mark.redis
def test_a_document_of_somebody_whose_name_is_no_text_hides_no_other(redis_url):
    counts = RedisSharedCounts(redis_url)
    counts.publish("e", "a", b"1", now_ms=NOW_MS)
    with closing(Redis.from_url(redis_url)) as foreign:
        foreign.execute_command("HSET", "rollout/counts/e", b"\xff", b"2")
    assert counts.read("e") == {"a": b"1", "\ufffd": b"2"}
    counts.forget("e")
    counts.close()
