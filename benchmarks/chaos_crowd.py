"""Overload: a crowd that asks for three times what the service can do, and does not wait."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import servers, wrk
from benchmarks.chaos_load import read_answers
from benchmarks.load import percentile

PEAK_CONNECTIONS, PEAK_S = (32, 64), 4
CROWD, CROWD_S, TIMES = 600, 8, 3.0
SAMPLE_RATE = 40.0
LOOK_EVERY_S = 0.05
LOAD_WITHIN_S = 60.0
WATCHED = ("/livez", "/readyz", "/metrics")


@dataclass(frozen=True)
class Crowd:
    """What a crowd met. Rates a second; times in ms, those of answers and refusals of a sample
    that asks at a steady rate beside the crowd; ``watched`` are requests about our health.
    """

    peak: float
    offered: float
    goodput: float
    accepted_p99_ms: float
    refused_p50_ms: float
    refused_p99_ms: float
    watched: int
    watched_failed: int
    watched_p99_ms: float

    @property
    def share(self) -> float:
        """Goodput, of that without a crowd."""
        return self.goodput / self.peak

    @property
    def said(self) -> str:
        """One line."""
        return (
            f"overload at {self.offered / self.peak:.1f}x: {self.offered:,.0f}/s asked, "
            f"{self.goodput:,.0f}/s answered, {self.share:.0%} of the peak {self.peak:,.0f}/s; "
            f"accepted p99 {self.accepted_p99_ms:.1f}, refused p50 {self.refused_p50_ms:.1f}, "
            f"p99 {self.refused_p99_ms:.1f} ms; health {self.watched - self.watched_failed} of "
            f"{self.watched} good, p99 {self.watched_p99_ms:.1f} ms"
        )


def crowded(server: servers.Server, path: str, bodies: Path, out: Path) -> Crowd:
    """Measure the peak, then ask for three times as much.

    Where there are two cores the service has one and the crowd the other, so that whoever asks
    does not take the time of who answers.
    """
    core = _apart(server)
    url = server.url(path)
    peaks = [
        wrk.closed_loop(url, bodies, connections=n, seconds=PEAK_S, core=core)
        for n in PEAK_CONNECTIONS
    ]
    peak = max(each.rate - each.errors / PEAK_S for each in peaks)
    rest_ms = max(1, round(1_000 * CROWD / (TIMES * peak)))
    watch = _Watch(server.port)
    command = [sys.executable, "-m", "benchmarks.chaos_load", str(server.port), path, str(bodies)]
    sample = subprocess.Popen(
        [*command, str(SAMPLE_RATE), str(CROWD_S - 2), str(out)], cwd=servers.PROJECT
    )
    with watch:
        said = wrk.closed_loop(
            url, bodies, connections=CROWD, seconds=CROWD_S, rest_ms=rest_ms, core=core
        )
    sample.wait(timeout=LOAD_WITHIN_S)
    answers = read_answers(out)
    accepted = sorted(each.ms for each in answers if each.is_answered)
    refused = sorted(each.ms for each in answers if each.status in ("429", "503"))
    watched = sorted(watch.times_ms)
    return Crowd(
        peak=peak,
        offered=said.rate,
        goodput=said.rate - said.errors / CROWD_S,
        accepted_p99_ms=percentile(accepted, 0.99),
        refused_p50_ms=percentile(refused, 0.5),
        refused_p99_ms=percentile(refused, 0.99),
        watched=len(watched) + watch.failed,
        watched_failed=watch.failed,
        watched_p99_ms=percentile(watched, 0.99),
    )


def _apart(server: servers.Server) -> int:
    """Give the service the first core; the core that is left for the crowd, -1 for any."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or shutil.which("taskset") is None:
        return -1
    os.sched_setaffinity(server.pid, {cores[0]})
    return cores[1]


class _Watch:
    """Asks after our health, again and again, as whoever watches would."""

    def __init__(self, port: int) -> None:
        self.times_ms: list[float] = []
        self.failed = 0
        self._port = port
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(timeout=10)

    def _look(self) -> None:
        place = 0
        while not self._is_over.wait(LOOK_EVERY_S):
            began_s = time.monotonic()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
                connection.request("GET", WATCHED[place % len(WATCHED)])
                is_good = connection.getresponse().status == 200
                connection.close()
            except (OSError, http.client.HTTPException):
                is_good = False
            place += 1
            if is_good:
                self.times_ms.append((time.monotonic() - began_s) * 1_000)
            else:
                self.failed += 1
