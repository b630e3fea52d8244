"""The limits of a connection, each at the real process: too large, too long, too many."""

from __future__ import annotations

import json
import resource
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from online_processes import service
from wire import request, wire

from serving.transport.connections import LINGER_S, MOST_PIPELINED
from stores.layout import Layout

GOOD = json.dumps(REQUEST).encode()
HEADER_S, BODY_S, IDLE_S, WRITE_S = 0.6, 0.6, 2.0, 0.6
SLACK_S = 10.0  # for machines that others keep busy
MAX_CONNECTIONS = 40
HERD_S = 6  # how long a herd is borne: as long as that nobody is to wait
LIMITS = {
    "HTTP__HEADER_TIMEOUT_MS": int(HEADER_S * 1_000),
    "HTTP__BODY_TIMEOUT_MS": int(BODY_S * 1_000),
    "HTTP__KEEP_ALIVE_S": int(IDLE_S),
    "HTTP__WRITE_TIMEOUT_MS": int(WRITE_S * 1_000),
    "HTTP__MAX_HEADER_BYTES": 4_096,
    "HTTP__MAX_BODY_BYTES": 100_000,
    "HTTP__MAX_CONNECTIONS": MAX_CONNECTIONS,
}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    with service(layout, **LIMITS) as process:
        yield process


@pytest.fixture
def url(started):
    """The service; whatever a test did to it, it answers afterwards."""
    yield started.url
    assert httpx.post(f"{started.url}/v1/toy/predictions", json=REQUEST).status_code == 200


def dripped(connection, data, every_s=0.05):
    """Send a byte now and then, until the other side answers or goes; seconds it bore that."""
    began = time.monotonic()
    for place in range(len(data)):
        if not connection.send(data[place : place + 1]) or not connection.is_silent(every_s):
            break
    return time.monotonic() - began


def assert_problem(answer, status, code):
    assert answer is not None
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert len(answer.headers["x-request-id"]) == 32


def test_headers_that_drip_are_cut(url):
    with wire(url) as connection:
        spent_s = dripped(connection, request(GOOD, *[b"X-%d: y" % n for n in range(100)]))
        assert HEADER_S * 0.9 < spent_s < HEADER_S + SLACK_S
        assert_problem(connection.answer(), 408, "slow_headers")
        connection.ends_within(SLACK_S)


def test_headers_that_drip_behind_a_good_request_are_cut(url):
    with wire(url) as connection:
        connection.send(request(GOOD))
        assert connection.answer().status == 200
        spent_s = dripped(connection, request(GOOD, *[b"X-%d: y" % n for n in range(100)]))
        assert HEADER_S * 0.9 < spent_s < HEADER_S + SLACK_S
        assert_problem(connection.answer(), 408, "slow_headers")


def test_the_beginning_of_a_head_behind_a_request_has_its_clock(url):
    with wire(url) as connection:
        connection.send(request(GOOD) + b"GET /livez HT")
        assert connection.answer().status == 200
        assert_problem(connection.answer(within_s=HEADER_S + SLACK_S), 408, "slow_headers")


@pytest.mark.parametrize("sent", [b"", b"\r\n"], ids=["nothing", "empty lines"])
def test_who_asks_nothing_is_shown_out(url, sent):
    with wire(url) as connection:
        while connection.is_silent(0.1):
            connection.send(sent)
        assert connection.answer_or_end() is None
        connection.ends_within(SLACK_S)


def test_a_connection_that_rests_is_closed(url):
    with wire(url) as connection:
        connection.send(request(GOOD))
        assert connection.answer().status == 200
        assert connection.ends_within(IDLE_S + SLACK_S) > IDLE_S * 0.9


def test_requests_that_come_before_the_rest_is_over_keep_a_connection(url):
    with wire(url) as connection:
        for _ in range(4):
            connection.send(request(GOOD))
            assert connection.answer().status == 200
            time.sleep(HEADER_S * 0.9)


LARGE_HEADS = {
    "one header": request(GOOD, b"X: " + b"y" * 5_000),
    "many headers": request(GOOD, *[b"X-%d: yyyyyyyy" % n for n in range(400)]),
    "a name": request(GOOD, b"x" * 5_000 + b": y"),
    "an address": request(path=b"/" + b"a" * 5_000, method=b"GET"),
    "a query": request(path=b"/livez?" + b"a" * 5_000, method=b"GET"),
    "a header without end": b"GET /livez HTTP/1.1\r\nX: " + b"y" * 500_000,
    "an address without end": b"GET /" + b"a" * 500_000,
}


@pytest.mark.parametrize("head", LARGE_HEADS.values(), ids=LARGE_HEADS.keys())
@pytest.mark.parametrize("is_in_pieces", [False, True])
def test_a_head_that_is_too_large_is_refused(url, head, is_in_pieces):
    with wire(url) as connection:
        pieces = [head[n : n + 1_500] for n in range(0, len(head), 1_500)]
        for piece in pieces if is_in_pieces else [head]:
            if not connection.send(piece) or not connection.is_silent(0.001):
                break
        assert_problem(connection.answer(), 431, "headers_too_large")
        connection.ends_within(LINGER_S + SLACK_S)


def test_a_head_just_below_the_limit_is_taken_in_one_piece_or_many(url):
    head = request(GOOD, b"X: " + b"y" * 3_800)
    for size in (len(head), 100):
        with wire(url) as connection:
            for n in range(0, len(head), size):
                connection.send(head[n : n + size])
            assert connection.answer().status == 200


def test_a_large_body_does_not_count_as_head(url):
    body = b" " * 90_000 + GOOD
    with wire(url) as connection:
        for _ in range(3):
            connection.send(request(body) + request(GOOD))
            assert connection.answer().status == 200
            assert connection.answer().status == 200


@pytest.mark.parametrize("header", [b"Content-Length: 5000", b"Transfer-Encoding: chunked"])
def test_a_body_that_drips_is_cut(url, header):
    with wire(url) as connection:
        connection.send(request(b"", header))
        body = b"1\r\n \r\n" * 1_000 if b"chunked" in header else b" " * 5_000
        spent_s = dripped(connection, body)
        assert BODY_S * 0.9 < spent_s < BODY_S + SLACK_S
        answer = connection.answer()
        assert (answer.status, answer.json()["code"]) == (408, "slow_body")
        connection.ends_within(BODY_S + LINGER_S + SLACK_S)


@pytest.mark.parametrize("path", [b"/livez", b"/nothing"])
def test_a_body_that_nobody_asked_for_does_not_drip_for_ever(url, path):
    with wire(url) as connection:
        connection.send(request(b"", b"Content-Length: 100000", path=path, method=b"GET"))
        assert connection.answer().status in (200, 404)
        began = time.monotonic()
        while connection.send(b"x") and connection.is_silent(0.1):
            assert time.monotonic() - began < HEADER_S + IDLE_S + SLACK_S


def test_a_body_that_is_too_large_is_refused(url):
    with wire(url) as connection:
        connection.send(request(b"", b"Content-Length: 100001"))
        answer = connection.answer()
        assert (answer.status, answer.json()["code"]) == (413, "too_large")


def test_an_answer_that_nobody_reads_is_given_up(started, url):
    with wire(url, receive_bytes=4_096) as connection:
        asked = request(path=b"/openapi.json", method=b"GET") * MOST_PIPELINED
        connection.send(asked)
        started.wait_until(connection.is_held)
        started.wait_until(lambda: not connection.is_held())
        n_answers = 0
        while connection.answer_or_end() is not None:
            n_answers += 1
        assert connection.is_closed
        assert n_answers < MOST_PIPELINED


def test_pipelined_requests_are_answered_in_order(url):
    good, bad = request(GOOD), request(b"{}")
    with wire(url) as connection:
        connection.send((good + bad) * 20)
        assert [connection.answer().status for _ in range(40)] == [200, 422] * 20


def test_more_pipelined_requests_than_may_wait_end_the_connection_behind_those(url):
    with wire(url) as connection:
        connection.send(request(path=b"/livez", method=b"GET") * (MOST_PIPELINED * 3))
        statuses = []
        while (answer := connection.answer_or_end()) is not None:
            statuses.append(answer.status)
        assert set(statuses[:-1]) == {200}
        assert len(statuses) == MOST_PIPELINED + 2  # one is answered meanwhile, one refused
        assert_problem(last_of(url), 400, "malformed_request")
        assert statuses[-1] == 400


def last_of(url):
    with wire(url) as connection:
        connection.send(request(path=b"/livez", method=b"GET") * (MOST_PIPELINED * 3))
        last = None
        while (answer := connection.answer_or_end()) is not None:
            last = answer
        return last


def test_garbage_behind_whole_requests_is_refused_behind_their_answers(url):
    with wire(url) as connection:
        connection.send(request(GOOD) * 3 + b"\x00garbage\r\n\r\n" + request(GOOD))
        assert [connection.answer().status for _ in range(3)] == [200] * 3
        assert_problem(connection.answer(), 400, "malformed_request")
        assert connection.answer_or_end() is None


def test_a_broken_body_behind_a_whole_request_is_refused_behind_its_answer(url):
    broken = request(b"zz\r\n", b"Transfer-Encoding: chunked")
    with wire(url) as connection:
        connection.send(request(GOOD) + broken)
        assert connection.answer().status == 200
        assert_problem(connection.answer(), 400, "malformed_request")


def test_who_asks_before_it_sends_is_told_to_go_on(url):
    with wire(url) as connection:
        asked = request(b"", b"Expect: 100-continue", b"Content-Length: %d" % len(GOOD))
        connection.send(asked)
        assert not connection.is_silent(BODY_S / 2)
        connection.send(GOOD)
        assert connection.answer().status == 200


def test_who_speaks_http_1_0_hears_nothing_before_the_answer(url):
    asked = request(b"", b"Expect: 100-continue", b"Content-Length: %d" % len(GOOD))
    with wire(url) as connection:
        connection.send(asked.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert connection.is_silent(BODY_S / 2)
        connection.send(GOOD)
        assert connection.answer().status == 200


def test_an_upgrade_is_not_made_and_the_request_answered(url):
    asked = request(
        b"", b"Connection: Upgrade", b"Upgrade: websocket", path=b"/livez", method=b"GET"
    )
    with wire(url) as connection:
        connection.send(asked)
        answer = connection.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        connection.ends_within(SLACK_S)
    with wire(url) as connection:
        connection.send(request(GOOD, b"Connection: Upgrade", b"Upgrade: h2c"))
        assert_problem(connection.answer(), 400, "malformed_request")


def test_too_many_connections_are_told_so_and_far_too_many_are_cut(started):
    with ExitStack() as stack:
        opened = [stack.enter_context(wire(started.url)) for _ in range(MAX_CONNECTIONS)]
        for connection in opened:
            connection.send(request(path=b"/livez", method=b"GET"))
            assert connection.answer().status == 200
        over = stack.enter_context(wire(started.url))
        over.send(request(GOOD))
        answer = over.answer()
        assert_problem(answer, 503, "too_many_connections")
        assert answer.headers["retry-after"] == "1"
        watching = stack.enter_context(wire(started.url))
        watching.send(request(path=b"/readyz", method=b"GET"))
        answer = watching.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        far = [stack.enter_context(wire(started.url)) for _ in range(MAX_CONNECTIONS)]
        far[-1].send(request(GOOD))
        assert far[-1].answer_or_end() is None  # not even that there are too many
        opened[0].send(request(GOOD))  # who was there stays
        assert opened[0].answer().status == 200
    deadline = time.monotonic() + SLACK_S
    while httpx.post(f"{started.url}/v1/toy/predictions", json=REQUEST).status_code != 200:
        assert time.monotonic() < deadline


@pytest.mark.slow
def test_a_process_may_open_as_many_files_as_its_connections_need(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        with service(layout, HTTP__MAX_CONNECTIONS=500) as process, ExitStack() as stack:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            limits = Path(f"/proc/{process.process.pid}/limits").read_text()
            (line,) = (line for line in limits.splitlines() if line.startswith("Max open files"))
            assert int(line.split()[3]) >= 1_000
            herd = [stack.enter_context(wire(process.url)) for _ in range(400)]
            herd[-1].send(request(GOOD))
            assert herd[-1].answer().status == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_refusals_of_connections_are_counted(started):
    def count():
        lines = httpx.get(f"{started.url}/metrics").text.splitlines()
        wanted = 'throughline_refusals_total{code="malformed_request"} '
        return next((float(line.removeprefix(wanted)) for line in lines if wanted in line), 0.0)

    before = count()
    with wire(started.url) as connection:
        connection.send(b"nonsense\r\n\r\n")
        assert_problem(connection.answer(), 400, "malformed_request")
    assert count() == before + 1


@pytest.mark.slow
def test_a_herd_of_slow_senders_keeps_nobody_waiting(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    limits = {**LIMITS, "HTTP__MAX_CONNECTIONS": 1_000}
    limits |= {"HTTP__HEADER_TIMEOUT_MS": HERD_S * 1_000, "HTTP__BODY_TIMEOUT_MS": HERD_S * 1_000}
    with service(layout, **limits) as process, ExitStack() as stack:
        herd = [stack.enter_context(wire(process.url)) for _ in range(300)]
        for place, connection in enumerate(herd):
            whole = request(GOOD, b"Content-Length: 500")
            connection.send(whole[:20] if place % 2 else whole)
        spent_s = []
        with httpx.Client(base_url=process.url) as client:
            until = time.monotonic() + HERD_S / 2
            while time.monotonic() < until:
                began = time.monotonic()
                assert client.post("/v1/toy/predictions", json=REQUEST).status_code == 200
                spent_s.append(time.monotonic() - began)
        assert statistics.median(spent_s) < HERD_S / 4
        statuses = [connection.answer(within_s=HERD_S + SLACK_S).status for connection in herd]
        assert set(statuses) == {408}
        for connection in herd:
            connection.ends_within(HERD_S + LINGER_S + SLACK_S)
