"""Events over HTTP, folded by a real process, seen by the next read; nothing lost to kill -9."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from online_processes import OnlineProcess, folder, service
from payments import PAYMENTS, payment
from servers import redis_server

from core.clock import SystemClock
from orchestration.processes import free_port
from stores.layout import Layout
from stores.log.source_log import SourceLog

pytestmark = pytest.mark.slow

NOW = SystemClock().now_ms


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    return layout


@contextmanager
def client_of(started):
    """A client of a process that serves."""
    with httpx.Client(base_url=started.url, timeout=60) as client:
        yield client


def event(event_id, **changes):
    return payment(event_id, NOW() - 1_000, **changes)


def count_of(client, card="c1"):
    """How many payments of the last day the model is given for a card."""
    request = {**REQUEST, "entities": {"card_id": card, "terminal_id": "t1"}}
    record_id = client.post("/v1/toy/predictions", json=request).json()["prediction_id"]
    record = client.get(f"/v1/predictions/{record_id}").json()
    return record["features"]["card_activity_v1"]["values"]["amount_minor_count_1d"]


def test_an_event_is_seen_by_the_next_read(layout):
    with service(layout) as started, folder(layout) as folding, client_of(started) as client:
        taken = client.post("/v1/events/payments", json=event("e1"))
        assert (taken.status_code, taken.json()["accepted"]) == (200, 1)
        folding.wait_until(lambda: count_of(client) == 1.0)
        again = event("e1")
        first = client.post("/v1/events/payments", json=[event("e2"), event("e3")])
        assert first.json()["accepted"] == 2
        folding.wait_until(lambda: count_of(client) == 3.0)
        assert client.post("/v1/events/payments", json=again).status_code == 409
        ages = client.get("/readyz").json()["sources"]
        assert all(age is not None and age < 5_000 for age in ages.values())


def test_refusals_of_events_say_why(layout):
    with service(layout) as started, httpx.Client(base_url=started.url, timeout=60) as client:
        one = client.post("/v1/events/payments", json={**event("e1"), "amount_minor": 0})
        assert (one.status_code, one.json()["code"]) == (422, "contract")
        assert one.json()["errors"][0]["pointer"] == "/amount_minor"
        many = client.post(
            "/v1/events/payments", json=[event("e1"), {**event("e2"), "amount_minor": 0}]
        )
        assert (many.status_code, many.json()["accepted"], many.json()["rejected"]) == (207, 1, 1)
        none = client.post("/v1/events/payments", json=[{}, {**event("e2"), "amount_minor": 0}])
        assert none.status_code == 422
        assert [fault["pointer"] for fault in none.json()["errors"]] == [
            "/0/event_id", "/1/amount_minor"
        ]  # fmt: skip
        same = event("e9")
        assert client.post("/v1/events/payments", json=same).json()["accepted"] == 1
        assert client.post("/v1/events/payments", json=same).json()["duplicate"] == 1
        conflict = client.post("/v1/events/payments", json={**same, "amount_minor": 7})
        assert (conflict.status_code, conflict.json()["code"]) == (409, "duplicate_conflict")
        unknown = client.post("/v1/events/nothing", json=same)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_source")


class Sender(threading.Thread):
    """Sends events one after another, again where no answer came; knows what it was told."""

    def __init__(self, urls, name, card="c1"):
        super().__init__(daemon=True)
        self.urls, self.prefix, self.card = urls, name, card
        self.is_done = threading.Event()
        self.told: set[str] = set()
        self.sent = 0

    def run(self):
        with httpx.Client(timeout=60) as client:
            while not self.is_done.is_set():
                body = event(f"{self.prefix}{self.sent}", card_id=self.card)
                self.sent += 1
                while not self._sent(client, body) and not self.is_done.is_set():
                    self.is_done.wait(0.02)

    def _sent(self, client, body):
        try:
            url = self.urls[self.sent % len(self.urls)]
            answer = client.post(f"{url}/v1/events/payments", json=body)
        except httpx.HTTPError:
            return False
        if answer.status_code == 200:
            self.told.add(body["event_id"])
        return answer.status_code == 200


def has_told(sender, more_than):
    return len(sender.told) > more_than


def kept_ids(layout):
    log = SourceLog(layout.log_dir("payments"), PAYMENTS.name)
    raws = [record.raw for _, record in log.read_open()]
    kept = [raw["event_id"] for raw in raws if isinstance(raw, dict)]
    assert len(kept) == len(raws)
    return kept


def test_kill_9_of_service_and_folder_loses_nothing_and_counts_nothing_twice(layout):
    port = free_port()
    sender = Sender([f"http://127.0.0.1:{port}"], "e")
    started = OnlineProcess("serving.main", layout, port).wait_until_ready()
    folding = OnlineProcess("serving.folder", layout, FOLDER__BATCH_EVENTS=3)
    sender.start()
    try:
        for round_ in range(4):
            so_far = len(sender.told)
            started.wait_until(partial(has_told, sender, so_far + 40))
            folding.kill()
            if round_ % 2:
                started.kill()
                started = OnlineProcess("serving.main", layout, port).wait_until_ready()
            folding = OnlineProcess("serving.folder", layout, FOLDER__BATCH_EVENTS=3)
        sender.is_done.set()
        sender.join(timeout=60)
        kept = kept_ids(layout)
        assert sender.told <= set(kept)
        with httpx.Client(base_url=started.url, timeout=60) as client:
            folding.wait_until(lambda: count_of(client) >= len(set(kept)))
            assert count_of(client) == len(set(kept))
    finally:
        sender.is_done.set()
        folding.kill()
        started.kill()


def test_two_services_append_and_one_folder_folds(layout):
    with service(layout) as one, service(layout) as two, folder(layout) as folding:
        senders = [Sender([one.url, two.url], name) for name in ("a", "b", "c")]
        for sender in senders:
            sender.start()
        one.wait_until(lambda: all(len(sender.told) > 60 for sender in senders))
        for sender in senders:
            sender.is_done.set()
            sender.join(timeout=60)
        told = set().union(*(sender.told for sender in senders))
        kept = kept_ids(layout)
        assert told <= set(kept)
        with httpx.Client(base_url=two.url, timeout=60) as client:
            folding.wait_until(lambda: count_of(client) == len(set(kept)))


def test_a_spare_folder_takes_over(layout):
    with service(layout) as started, folder(layout) as first, client_of(started) as client:
        client.post("/v1/events/payments", json=event("e1"))
        first.wait_until(lambda: count_of(client) == 1.0)
        with folder(layout) as spare:
            first.kill()
            client.post("/v1/events/payments", json=event("e2"))
            spare.wait_until(lambda: count_of(client) == 2.0)


def test_the_folder_ends_in_good_order(layout):
    with folder(layout) as started:
        started.wait_until(lambda: "folding" in started.log.read_text())
        assert started.end() == 0


@pytest.mark.redis
def test_the_same_on_redis(layout, tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("r")) as redis:
        url = {"ONLINE_URL": redis.url}
        with (
            service(layout, **url) as started,
            folder(layout, **url) as folding,
            client_of(started) as client,
        ):
            events = [event(f"e{n}") for n in range(50)]
            started.wait_until(lambda: client.post("/v1/events/payments", json=events).is_success)
            folding.wait_until(lambda: count_of(client) == 50.0)
            redis.stop()
            answer = client.post("/v1/toy/predictions", json=REQUEST)
            assert answer.status_code == 200
            assert answer.json()["degraded"]["level"] == "no_features"
            refused = client.post("/v1/events/payments", json=event("late"))
            assert (refused.status_code, refused.json()["retryable"]) == (503, True)


def test_events_at_once_share_their_syncs(layout):
    async def send_all(url):
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            sends = (client.post("/v1/events/payments", json=event(f"e{n}")) for n in range(200))
            return await asyncio.gather(*sends)

    with service(layout) as started:
        answers = asyncio.run(send_all(started.url))
        assert {answer.status_code for answer in answers} == {200}
        positions = {answer.json()["results"][0]["position"] for answer in answers}
        assert len(positions) == 200
        assert len(kept_ids(layout)) == 200
