"""Dependencies that die, stand still or are slow: every answer leaves in time and says so."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from ladders import laddered
from online_processes import OnlineProcess, folder, service
from payments import NOW_MS

from benchmarks.chaos.faults import LockedFile
from benchmarks.chaos.faulty_proxy import FaultyProxy, to_unix_socket
from benchmarks.chaos.world import RedisProcess, redis_process
from orchestration.processes import free_port
from serving.guard import MOST_FAILURES
from stores.layout import Layout
from stores.online import open_online_store
from stores.records.segments import read_record, records_of, seal_abandoned

ROUTE = "/v1/toy/predictions"
WORST_MS = 20_000.0  # on any machine; `make chaos` holds the promised 500 on a quiet one
WHOLE_WITHIN_S = 60.0
PROMPT = {"ENGINE__READ_BUDGET_MS": 75}
pytestmark = [pytest.mark.redis, pytest.mark.slow]  # real processes, waited for


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout, **laddered()), counter=1)
    return layout


@pytest.fixture
def redis():
    with tempfile.TemporaryDirectory() as short, redis_process(Path(short)) as process:
        yield process


def asked(client, times=1):
    """Answers, each on time."""
    answers = []
    for _ in range(times):
        began = time.monotonic()
        answer = client.post(ROUTE, json=REQUEST)
        assert answer.status_code == 200, answer.text
        assert (time.monotonic() - began) * 1_000 < WORST_MS
        answers.append(answer.json())
    return answers


def wait_until_whole(client):
    """Wait until an answer is whole."""
    deadline = time.monotonic() + WHOLE_WITHIN_S
    while asked(client)[0]["degraded"] is not None:
        assert time.monotonic() < deadline, "not whole again in time"
        time.sleep(0.05)


FAULTS = {
    "killed": (lambda redis, _: redis.kill(), lambda redis, _: redis.start_again()),
    "stopped": (lambda redis, _: redis.stop(), lambda redis, _: redis.go_on()),
    "slow": (lambda _, proxy: setattr(proxy, "delay_s", 0.5), lambda _, proxy: proxy.heal()),
    "silent": (lambda _, proxy: setattr(proxy, "is_silent", True), lambda _, proxy: proxy.heal()),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_redis_that_fails_costs_features_and_no_answer(layout, redis, fault):
    begin, end = FAULTS[fault]
    with (
        FaultyProxy(to_unix_socket(redis.socket)) as proxy,
        folder(layout, ONLINE_URL=redis.url),
        service(layout, ONLINE_URL=f"redis://127.0.0.1:{proxy.port}", **PROMPT) as process,
        httpx.Client(base_url=process.url, timeout=60) as client,
    ):
        wait_until_whole(client)
        redis.keep()
        begin(redis, proxy)
        answers = asked(client, MOST_FAILURES + 10)
        levels = {answer["degraded"]["level"] for answer in answers}
        assert levels == {"fallback"}
        alone = ["left alone" in answer["degraded"]["because"] for answer in answers]
        assert alone.index(True) == MOST_FAILURES
        assert client.get("/readyz").status_code == 200
        gauge = 'throughline_dependency_asked{dependency="online_values"'
        assert any(
            line.startswith(gauge) and line.endswith(" 0.0")
            for line in client.get("/metrics").text.splitlines()
        )
        end(redis, proxy)
        wait_until_whole(client)


def test_resets_of_single_connections_open_nothing(layout, redis):
    with (
        FaultyProxy(to_unix_socket(redis.socket)) as proxy,
        folder(layout, ONLINE_URL=redis.url),
        service(layout, ONLINE_URL=f"redis://127.0.0.1:{proxy.port}") as process,
        httpx.Client(base_url=process.url, timeout=60) as client,
    ):
        wait_until_whole(client)
        proxy.reset_share = 0.05
        answers = asked(client, 400)
        degraded = [answer for answer in answers if answer["degraded"]]
        assert 1 <= len(degraded) <= proxy.n_resets
        assert not [each for each in degraded if "left alone" in each["degraded"]["because"]]


def test_events_are_refused_and_never_lost_while_redis_stands_still(layout, redis):
    event = {"event_id": "e1", "event_timestamp": int(time.time() * 1_000), "card_id": "c1"}
    event |= {"terminal_id": "t1", "amount_minor": 5}
    with (
        service(layout, ONLINE_URL=redis.url) as process,
        httpx.Client(base_url=process.url, timeout=60) as client,
    ):
        redis.stop()
        began = time.monotonic()
        answer = client.post("/v1/events/payments", json=event)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert time.monotonic() - began < 20
        redis.go_on()
        assert client.post("/v1/events/payments", json=event).status_code == 200


def test_an_embedded_file_that_is_written_to_is_read_all_the_same_and_one_that_is_gone_is_not(
    layout,
):
    database = layout.root / "online.sqlite"
    url = f"sqlite:///{database}"
    open_online_store(url).close()
    with (
        folder(layout, ONLINE_URL=url),
        service(layout, ONLINE_URL=url) as process,
        httpx.Client(base_url=process.url, timeout=60) as client,
    ):
        wait_until_whole(client)
        locks = LockedFile(database)
        locks.lock()
        try:
            assert [each["degraded"] for each in asked(client, 20)] == [None] * 20
            with service(layout, ONLINE_URL=url) as other, httpx.Client(base_url=other.url) as also:
                assert asked(also)[0]["degraded"] is None
            event = {"event_id": "e1", "event_timestamp": NOW_MS, "card_id": "c1"}
            event |= {"terminal_id": "t1", "amount_minor": 5}
            assert client.post("/v1/events/payments", json=event).status_code == 503
        finally:
            locks.unlock()
        away = database.with_suffix(".away")
        database.rename(away)
        assert {each["degraded"]["level"] for each in asked(client, 20)} == {"fallback"}
        away.rename(database)
        wait_until_whole(client)


def are_at_least(n, ids):
    return len(ids) >= n


def test_no_answered_prediction_is_missing_after_kill_9_under_load(layout):
    ids: list[str] = []

    def ask(url):
        with httpx.Client(base_url=url, timeout=60) as client:
            while True:
                try:
                    ids.append(client.post(ROUTE, json=REQUEST).json()["prediction_id"])
                except httpx.HTTPError:
                    return

    for n_answered in (60, 160):
        process = OnlineProcess("serving.main", layout, free_port()).wait_until_ready()
        threads = [threading.Thread(target=ask, args=(process.url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        process.wait_until(partial(are_at_least, n_answered, ids))
        os.kill(process.process.pid, signal.SIGKILL)
        process.process.wait(timeout=60)
        for thread in threads:
            thread.join(timeout=60)
    directory = layout.records("toy")
    assert len(ids) == len(set(ids)) > 50
    for record_id in ids:
        assert read_record(directory, record_id)
    seal_abandoned(directory)
    sealed = [*directory.glob("*.sealed"), *directory.glob("shipped/*.sealed")]
    kept = sum(len(records_of(path.read_bytes())) for path in sealed)
    assert kept >= len(ids)


def test_it_starts_from_the_local_shelf_with_every_dependency_down(layout):
    nobody = f"redis://127.0.0.1:{free_port()}"
    with (
        service(layout, ONLINE_URL=nobody) as process,
        httpx.Client(base_url=process.url, timeout=60) as client,
    ):
        (answer,) = asked(client)
        assert answer["degraded"]["level"] == "fallback"
        record = client.get(f"/v1/predictions/{answer['prediction_id']}").json()
        assert record["degraded"] == answer["degraded"]
        assert client.get(f"/v1/predictions/{answer['prediction_id']}/replay").json()["is_equal"]


def test_a_redis_process_keeps_what_it_was_told_to(redis):
    assert isinstance(redis, RedisProcess)
    store = open_online_store(redis.url)
    store.write({b"a": b"1"})
    redis.keep()
    redis.kill()
    redis.start_again()
    assert store.read([b"a"]) == [b"1"]
    store.close()
