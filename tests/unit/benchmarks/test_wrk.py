from __future__ import annotations

import http.server
import json
import threading

import pytest

from benchmarks import wrk
from benchmarks.wrk import ClosedLoop, closed_loop, parsed
from core.errors import DependencyError

PRINTED = """Running 5s test @ http://127.0.0.1:8080/v1/fraud/predictions
  2 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.61ms    1.94ms   1.02s    78.12%
    Req/Sec     3.52k   210.34     4.01k    70.00%
  Latency Distribution
     50%  873.00us
     75%    5.60ms
     90%    7.10ms
     99%    9.41ms
  35120 requests in 5.01s, 18.20MB read
Requests/sec:   7010.53
Transfer/sec:      3.63MB
"""
TROUBLED = PRINTED.replace(
    "Requests/sec:",
    "  Socket errors: connect 0, read 3, write 0, timeout 4\n"
    "  Non-2xx or 3xx responses: 35\nRequests/sec:",
)


def test_what_wrk_prints_is_read_in_one_unit():
    assert parsed(PRINTED) == ClosedLoop(7_010.53, 0.873, 9.41, 1_020.0, errors=0)
    assert parsed(PRINTED).said == "7,011 requests/s, p50 0.87, p99 9.41 ms"


def test_errors_of_answers_and_of_sockets_are_added():
    assert parsed(TROUBLED).errors == 42
    assert parsed(TROUBLED).said.endswith(", 42 errors")


@pytest.mark.parametrize(
    ("spelled", "ms"), [("12.00us", 0.012), ("1.50s", 1_500.0), ("2.00m", 120_000.0)]
)
def test_every_unit_of_time(spelled, ms):
    assert parsed(PRINTED.replace("9.41ms", spelled)).p99_ms == pytest.approx(ms)


@pytest.mark.parametrize(
    "cut",
    ["", "unable to connect to 127.0.0.1:1 Connection refused", PRINTED.replace("99%", "98%")],
)
def test_what_is_no_measurement_is_refused(cut):
    with pytest.raises(DependencyError, match="wrk did not measure"):
        parsed(cut)


@pytest.mark.skipif(not wrk.is_there(), reason=wrk.MISSING)
def test_wrk_sends_the_lines_in_turn_and_every_thread_begins_elsewhere(tmp_path):
    bodies = tmp_path / "bodies.ndjson"
    bodies.write_text("".join(json.dumps({"n": n}) + "\n" for n in range(20_000)))
    seen: list[int] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            assert self.headers["Content-Type"] == "application/json"
            seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["n"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/"
        said = closed_loop(url, bodies, connections=2, seconds=1)
    finally:
        server.shutdown()
        server.server_close()
    assert said.errors == 0
    assert said.rate > 10
    assert {2, 3, 10_002, 10_003} <= set(seen)  # wrk tries the script once before it begins
    assert len(set(seen)) == len(seen)
