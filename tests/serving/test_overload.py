"""More asked than can be answered, of a real service: refused quickly, healthy meanwhile."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from itertools import count, cycle

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from online_processes import service

from stores.layout import Layout

pytestmark = pytest.mark.slow

ROUTE = "/v1/toy/predictions"
BODY = json.dumps(REQUEST)
THREADS, SECONDS, AT_MOST_S = 24, 3.0, 60.0
ENOUGH = 50


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    with service(layout, HTTP__MAX_WAITING=2) as process:
        yield process


class Crowd:
    """Threads that ask again as soon as they are answered, whatever the answer was."""

    def __init__(self, url):
        self.address = httpx.URL(url)
        self.answers: list[tuple[int, float, str]] = []
        self._is_over = False
        self._threads = [threading.Thread(target=self._ask) for _ in range(THREADS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._is_over = True
        for thread in self._threads:
            thread.join(timeout=60)

    def has_enough(self):
        """Whether enough were answered, and enough sent away."""
        statuses = Counter(status for status, _, _ in list(self.answers))
        return min(statuses[200], statuses[503]) >= ENOUGH

    def _ask(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.address.port, timeout=60)
        while not self._is_over:
            began = time.monotonic()
            connection.request("POST", ROUTE, BODY, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = json.loads(answer.read())
            if answer.status == 503:
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["retry-after"] == "1"
                assert answer.headers["x-request-id"]
            spent_ms = (time.monotonic() - began) * 1_000
            self.answers.append((answer.status, spent_ms, body.get("code", "")))
        connection.close()


def test_a_crowd_is_sent_away_while_some_are_answered_and_health_answers(started):
    waits = []
    with Crowd(started.url) as crowd, httpx.Client(base_url=started.url, timeout=60) as client:
        started_s = time.monotonic()
        for path in cycle(("/livez", "/readyz", "/metrics")):
            passed_s = time.monotonic() - started_s
            if passed_s > (SECONDS if crowd.has_enough() else AT_MOST_S):
                break
            began = time.monotonic()
            assert client.get(path).status_code == 200
            waits.append((time.monotonic() - began) * 1_000)
            time.sleep(0.02)
    statuses = Counter(status for status, _, _ in crowd.answers)
    assert set(statuses) == {200, 503}
    assert min(statuses.values()) >= ENOUGH
    assert {code for status, _, code in crowd.answers if status == 503} == {"busy"}
    assert sorted(waits)[len(waits) // 2] < 1_000


def test_afterwards_everybody_is_answered(started):
    with httpx.Client(base_url=started.url, timeout=60) as client:
        assert [client.post(ROUTE, json=REQUEST).status_code for _ in range(20)] == [200] * 20
        assert 'throughline_refusals_total{code="busy"}' in client.get("/metrics").text


def test_a_caller_s_deadline_is_kept(started):
    cards = [{"card_id": f"c{n}", "terminal_id": "t1"} for n in range(1_000)]
    points = {"points": [REQUEST | {"entities": card} for card in cards]}
    with httpx.Client(base_url=started.url, timeout=60) as client:
        decided = decided_so_far(client)
        for _ in range(5):  # the store holds up the loop, and with it every timer
            hasty = {"x-request-timeout-ms": "5"}
            answer = client.post(f"{ROUTE}:batch", json=points, headers=hasty)
            assert (answer.status_code, answer.json()["code"]) == (503, "late")
        assert decided_so_far(client) == decided  # and nothing is recorded that was not answered
        enough = {"x-request-timeout-ms": "50000"}
        assert client.post(ROUTE, json=REQUEST, headers=enough).status_code == 200
        assert decided_so_far(client) == decided + 1


def decided_so_far(client):
    """Points that the service says it has decided."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(x.split()[-1]) for x in lines if x.startswith("throughline_predictions_total"))


def test_who_is_slow_to_ask_takes_nobody_s_place(started):
    slow, port = [], httpx.URL(started.url).port
    for _ in range(5):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.putrequest("POST", ROUTE)
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(BODY)))
        connection.endheaders(BODY[:10].encode())
        slow.append(connection)
    with httpx.Client(base_url=started.url, timeout=60) as client:
        assert [client.post(ROUTE, json=REQUEST).status_code for _ in range(20)] == [200] * 20
    for connection, _ in zip(slow, count(), strict=False):
        connection.send(BODY[10:].encode())
        assert connection.getresponse().status == 200
        connection.close()
