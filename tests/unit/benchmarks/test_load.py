from __future__ import annotations

import asyncio
import math
import socket
import threading
import time
from itertools import pairwise

import pytest

from benchmarks.load import OpenLoop, answer_in, arrivals, percentile, request_bytes

STALL_S = 0.05
ASKED = 400
RATE = 400.0
REQUEST = request_bytes("127.0.0.1", 80, "/", b"{}")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Planted:
    """A server on a thread that answers ``answer``; ``before`` is called with each number."""

    def __init__(self, before=lambda number: None, answer=OK):
        self.asked = 0
        self.connections = 0
        self._before, self._answer = before, answer
        self._loop = asyncio.new_event_loop()
        is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(is_up,), daemon=True)
        self._thread.start()
        assert is_up.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self, is_up):
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: Serving(self), "127.0.0.1", 0)
        )
        self.port = server.sockets[0].getsockname()[1]
        is_up.set()
        self._loop.run_forever()
        server.close()
        self._loop.close()

    def answer(self):
        self.asked += 1
        self._before(self.asked)
        return self._answer


class Serving(asyncio.Protocol):
    def __init__(self, planted):
        self._planted = planted
        self._received = b""

    def connection_made(self, transport):
        self._planted.connections += 1
        self._transport = transport

    def data_received(self, data):
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(body) >= length and head:
            self._received = b""
            answer = self._planted.answer()
            if answer is None:
                self._transport.close()
            else:
                self._transport.write(answer)


def asked(port, due_s, connections=128, patience_s=10.0):
    async def run():
        load = OpenLoop("127.0.0.1", port, connections=connections)
        return await load.run([REQUEST], due_s, patience_s=patience_s)

    return asyncio.run(run())


def stall_at(number):
    """The whole server stands still once, for 50 ms."""
    return lambda asked: time.sleep(STALL_S) if asked == number else None


def closed_loop_p99_ms(port):
    """What a generator sees that waits for each answer before it asks again."""
    took = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(ASKED):
            started = time.perf_counter()
            connection.sendall(REQUEST)
            connection.recv(4_096)
            took.append(1_000 * (time.perf_counter() - started))
    return percentile(sorted(took), 0.99)


def test_a_stall_shows_in_the_open_loop_and_hides_in_a_closed_one():
    due_s = arrivals(RATE, ASKED / RATE, is_poisson=False)
    with Planted(stall_at(ASKED // 2)) as planted:
        opened = asked(planted.port, due_s)
    with Planted(stall_at(ASKED // 2)) as planted:
        closed_p99_ms = closed_loop_p99_ms(planted.port)
    assert (opened.sent, opened.answered, opened.errors) == (ASKED, ASKED, {})
    assert opened.max_ms >= 1_000 * STALL_S * 0.9
    assert opened.p99_ms > 30  # 20 requests were due while it stood: 5 % of all
    assert closed_p99_ms < opened.p99_ms / 2


def test_waiting_for_a_connection_counts():
    due_s = [0.0] * 10
    with Planted(lambda _: time.sleep(0.01)) as planted:
        outcome = asked(planted.port, due_s, connections=1)
    assert outcome.answered == 10
    assert outcome.max_ms >= 100  # the last one waited for the nine before it
    assert planted.connections == 1


def test_errors_are_counted_by_status_and_left_out_of_the_latencies():
    busy = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
    with Planted(answer=busy) as planted:
        outcome = asked(planted.port, [0.0, 0.01])
    assert (outcome.answered, outcome.errors) == (0, {"503": 2})
    assert math.isnan(outcome.p99_ms)


def test_what_is_never_answered_counts_with_the_time_it_waited():
    with Planted(answer=b"") as planted:
        outcome = asked(planted.port, [0.0, 0.0], patience_s=0.2)
    assert (outcome.sent, outcome.answered, outcome.errors) == (2, 0, {"unanswered": 2})
    assert outcome.p50_ms >= 200


def test_a_closed_connection_is_an_error_and_another_is_opened():
    with Planted(answer=None) as planted:
        outcome = asked(planted.port, [0.0, 0.05, 0.1], connections=1)
    assert outcome.errors == {"closed": 3}
    assert planted.connections >= 3


def test_an_answer_without_a_length_is_unreadable():
    with Planted(answer=b"HTTP/1.1 200 OK\r\n\r\n") as planted:
        outcome = asked(planted.port, [0.0], patience_s=2.0)
    assert outcome.errors == {"unreadable": 1}


def test_poisson_arrivals_are_as_many_as_asked_and_come_in_bursts():
    due_s = arrivals(1_000, 2.0)
    gaps = [later - earlier for earlier, later in pairwise(due_s)]
    assert len(due_s) == 2_000
    assert 0 <= due_s[0] <= due_s[-1] <= 2.0
    deviation = math.sqrt(sum((gap - 0.001) ** 2 for gap in gaps) / len(gaps))
    assert 0.8 < deviation / 0.001 < 1.2  # of exponential gaps it is the mean
    assert arrivals(1_000, 2.0) == due_s != arrivals(1_000, 2.0, seed=2)


@pytest.mark.parametrize("cut", [1, 10, len(OK) - 1])
def test_an_answer_is_read_once_it_is_whole(cut):
    assert answer_in(OK[:cut]) is None
    assert answer_in(OK + OK[:cut]) == ("200", len(OK))


def test_what_is_not_http_is_refused():
    with pytest.raises(ValueError, match=r"HTTP/1\.1"):
        answer_in(b"SSH-2.0\r\n\r\n")
