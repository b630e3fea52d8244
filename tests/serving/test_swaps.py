"""Releases and their channels changed, and processes killed, while a real service is asked."""

from __future__ import annotations

import threading
from functools import partial

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from online_processes import OnlineProcess, controller, service
from payments import NOW_MS

from orchestration.processes import free_port
from stores.keys.signing import KeyRing
from stores.layout import Layout
from stores.shelf.shelf import Shelf

pytestmark = pytest.mark.slow


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path).create()


class Caller(threading.Thread):
    """Asks without pause and keeps every answer."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url = url
        self.is_done = threading.Event()
        self.answers: list[tuple[int, dict]] = []
        self.failures = 0

    def run(self):
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while not self.is_done.is_set():
                try:
                    answer = client.post("/v1/toy/predictions", json=REQUEST)
                except httpx.HTTPError:
                    self.failures += 1
                    continue
                self.answers.append((answer.status_code, answer.json()))


def test_a_bad_release_under_load_changes_nothing(layout):
    serve(layout, shelve(layout), counter=1)
    with service(layout, ENGINE__SHELF_POLL_MS=20) as started:
        caller = Caller(started.url)
        caller.start()
        bad = shelve(layout)
        path = Shelf(layout.shelf).bundle("toy", bad) / "model.onnx"
        path.write_bytes(path.read_bytes() + b"x")
        serve(layout, bad, counter=2)
        started.wait_until(
            lambda: (
                "bundle_broken" in (state := health(started.url))["shelf"]
                or "not what was built" in state["shelf"]
            )
        )
        caller.is_done.set()
        caller.join(timeout=60)
        assert health(started.url)["serving"]["toy"]["champion"] == 1
    assert caller.failures == 0
    assert {status for status, _ in caller.answers} == {200}
    assert {answer["model"]["release"] for _, answer in caller.answers} == {1}


def health(url):
    return httpx.get(f"{url}/readyz").json()


def serves(url, release):
    return health(url)["serving"]["toy"]["champion"] == release


def has_fewer_waiting(board, waiting):
    return len(board.pending()) < waiting


def asked(layout, action, release=None):
    board = Shelf(layout.shelf).board
    return board.ask(action, "toy", release=release, why="test", who="ann", at_ms=NOW_MS)


def test_from_a_request_on_the_shelf_to_the_answer_of_the_service(layout):
    first, second = shelve(layout), shelve(layout, bias=4.0)
    port = free_port()
    started = OnlineProcess("serving.main", layout, port, ENGINE__SHELF_POLL_MS=20)
    try:
        with controller(layout, CONTROLLER__POLL_MS=20) as deciding:
            for action, release, serving in [
                ("promote", first, first),
                ("promote", second, second),
                ("rollback", None, first),
            ]:
                request = asked(layout, action, release)
                board = Shelf(layout.shelf).board
                answer = deciding.wait_until(partial(board.answer_to, request.request_id))
                assert answer.is_accepted, answer.because
                started.wait_until_ready()
                started.wait_until(partial(serves, started.url, serving))
            refused = asked(layout, "promote", 99)
            answer = deciding.wait_until(lambda: board.answer_to(refused.request_id))
            assert not answer.is_accepted
        assert deciding.end() == 0
        decision = httpx.post(f"{started.url}/v1/toy/predictions", json=REQUEST).json()
        assert decision["model"]["release"] == first
    finally:
        started.end()


def test_kill_9_of_the_controller_leaves_channels_whole(layout):
    releases = [shelve(layout) for _ in range(2)]
    board, counter = Shelf(layout.shelf).board, 0
    for _ in range(5):
        for release in releases:
            asked(layout, "promote", release)
        waiting = len(board.pending())
        with controller(layout, CONTROLLER__POLL_MS=10) as deciding:
            deciding.wait_until(partial(has_fewer_waiting, board, waiting))
            deciding.kill()
        channels = board.read(KeyRing.from_directory(layout.keys))
        assert channels.counter >= counter
        assert channels.state("toy").champion in releases
        counter = channels.counter
    with controller(layout, CONTROLLER__POLL_MS=10) as deciding:
        deciding.wait_until(lambda: not board.pending())
    assert board.read(KeyRing.from_directory(layout.keys)).counter >= counter
    counters = [int(path.stem) for path in sorted((layout.shelf / "history").glob("*.json"))]
    assert counters == list(range(1, len(counters) + 1))


def test_records_answered_before_kill_9_are_read_after_a_restart(layout):
    serve(layout, shelve(layout), counter=1)
    port = free_port()
    started = OnlineProcess("serving.main", layout, port).wait_until_ready()
    try:
        callers = [Caller(started.url) for _ in range(2)]
        for caller in callers:
            caller.start()
        started.wait_until(lambda: sum(len(caller.answers) for caller in callers) > 300)
        started.kill()
        for caller in callers:
            caller.is_done.set()
            caller.join(timeout=60)
        started = OnlineProcess("serving.main", layout, port).wait_until_ready()
        told = [answer for caller in callers for _, answer in caller.answers]
        with httpx.Client(base_url=started.url, timeout=60) as client:
            for answer in told:
                record = client.get(f"/v1/predictions/{answer['prediction_id']}").json()
                assert record["score"] == answer["score"]
            replay = client.get(f"/v1/predictions/{told[-1]['prediction_id']}/replay").json()
            assert replay["is_equal"]
        assert not list(layout.records("toy").glob("*.open"))
    finally:
        started.end()
