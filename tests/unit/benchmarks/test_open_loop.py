"""The compiled generator against a server that answers, refuses, is silent, or hangs up."""

from __future__ import annotations

import socketserver
import threading
from itertools import takewhile

import numpy as np
import pytest

from benchmarks import open_loop
from benchmarks.load import request_bytes

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
ANSWERS = {
    b"good": (OK, b"{}"),  # in two pieces
    b"busy": (BUSY,),
    b"rude": (b"HTTP/1.1 429 Slow\r\ncontent-length: 0\r\n\r\n",),
    b"odd": (b"200 OK\r\n\r\n",),
    b"hangs up": (),
}
SECONDS, RATE = 0.25, 200.0


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """Whoever asked may have gone."""


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        while head := b"".join(takewhile(b"\r\n".__ne__, self.rfile)):
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            answer = ANSWERS[self.rfile.read(length)]
            if not answer:
                return
            for piece in answer:
                self.wfile.write(piece)
                self.wfile.flush()


@pytest.fixture
def port():
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.skipif(not open_loop.is_there(), reason=open_loop.MISSING)
@pytest.mark.parametrize("is_woken", [False, True])
def test_every_request_leaves_in_turn_and_comes_back_with_its_status(port, tmp_path, is_woken):
    requests = [request_bytes("127.0.0.1", port, "/x", body) for body in ANSWERS]
    found = open_loop.asked(
        port, requests, rate=RATE, seconds=SECONDS, connections=8, folder=tmp_path,
        is_woken=is_woken,
    )  # fmt: skip
    expected = [200, 503, 429, -2, -1] * (len(found) // len(ANSWERS))
    assert len(found) == RATE * SECONDS
    assert found["status"].tolist() == expected
    assert found["has_retry"].tolist() == [int(status == 503) for status in expected]
    due_s = found["due_s"]
    assert (due_s[1:] >= due_s[:-1]).all()
    assert due_s[-1] == pytest.approx(SECONDS, rel=0.5)
    assert (found["ms"] >= found["left_ms"]).all()
    assert (found["left_ms"] >= 0).all()
    outcome = open_loop.outcome_of(found)
    n_each = len(found) // len(ANSWERS)
    assert outcome.answered == n_each
    assert outcome.errors == {"503": n_each, "429": n_each, "unreadable": n_each, "closed": n_each}
    assert 0 < outcome.p50_ms <= outcome.max_ms


def test_what_was_never_answered_counts_with_the_time_it_waited():
    rows = [(0.0, 0.0, 2.0, 200, 0), (1.0, 0.0, 0.0, 0, 0), (3.0, 0.0, 500.0, 200, 0)]
    outcome = open_loop.outcome_of(np.array(rows, dtype=open_loop.RESULT))
    assert (outcome.sent, outcome.answered, outcome.errors) == (3, 2, {"unanswered": 1})
    assert outcome.max_ms == 2_500
