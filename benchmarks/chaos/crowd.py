"""Overload: a crowd that asks for three times what the service can do, and does not wait."""

from __future__ import annotations

import http.client
import os
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import open_loop, servers, wrk
from benchmarks.load import percentile, request_bytes

PEAK_CONNECTIONS, PEAK_S = (32, 64), 4
TIMES, CROWD_S = 3.0, 10.0
CROWD = 900
"""Connections: fewer than a worker takes, more than its answers and refusals ever keep busy."""
LOOK_EVERY_S = 0.2
WATCHED = ("/livez", "/readyz", "/metrics")
ANSWERED, REFUSED = (200,), (429, 503)


@dataclass(frozen=True)
class Crowd:
    """What a crowd met: every request of it counts. Rates a second; times in ms, from the instant
    at which a request was due, late generator or not.

    ``generator_p99_ms`` is how late requests left: what it adds is in all other times.
    ``lost`` got neither an answer nor a refusal; ``no_retry`` are refusals without a Retry-After;
    ``watched`` are requests about our health.
    """

    peak: float
    offered: float
    goodput: float
    accepted_p50_ms: float
    accepted_p99_ms: float
    refused_p50_ms: float
    refused_p99_ms: float
    generator_p99_ms: float
    lost: int
    no_retry: int
    watched: int
    watched_failed: int
    watched_p99_ms: float

    @property
    def times(self) -> float:
        """What was asked for, of the peak."""
        return self.offered / self.peak

    @property
    def share(self) -> float:
        """Goodput, of that without a crowd."""
        return self.goodput / self.peak

    @property
    def said(self) -> str:
        """One line."""
        return (
            f"overload at {self.times:.1f}x: {self.offered:,.0f}/s asked, "
            f"{self.goodput:,.0f}/s answered, {self.share:.0%} of the peak {self.peak:,.0f}/s; "
            f"accepted p50 {self.accepted_p50_ms:.1f}, p99 {self.accepted_p99_ms:.1f}, "
            f"refused p50 {self.refused_p50_ms:.1f}, p99 {self.refused_p99_ms:.1f} ms "
            f"(generator late p99 {self.generator_p99_ms:.1f}); {self.lost} lost; "
            f"health {self.watched - self.watched_failed} of "
            f"{self.watched} good, p99 {self.watched_p99_ms:.1f} ms"
        )

    @property
    def rows(self) -> list[str]:
        """Rows of the page's table of overload."""
        return [
            f"| asked | {self.times:.2f} times the peak of {self.peak:,.0f}/s | 2.9 |",
            f"| answered | {100 * self.share:.0f} % of the peak | 80 % |",
            f"| accepted | p50 {self.accepted_p50_ms:.0f} ms, p99 {self.accepted_p99_ms:.0f} ms "
            "| p99 100 ms |",
            f"| refused | p50 {self.refused_p50_ms:.1f} ms, p99 {self.refused_p99_ms:.0f} ms "
            "| p99 10 ms |",
            "| refused without Retry-After; neither answered nor refused; looks at health that "
            f"failed | {self.no_retry}; {self.lost}; {self.watched_failed} of {self.watched} | 0 |",
        ]


def missing() -> str:
    """What this machine lacks for a crowd; empty where it lacks nothing."""
    return "" if wrk.is_there() and open_loop.is_there() else f"{wrk.MISSING}; {open_loop.MISSING}"


def crowded(server: servers.Server, path: str, bodies: Path, folder: Path) -> Crowd:
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
    lines = bodies.read_bytes().splitlines()
    requests = [request_bytes("127.0.0.1", server.port, path, each) for each in lines]
    watch = _Watch(server.port)
    with watch:
        found = open_loop.asked(
            server.port, requests, rate=TIMES * peak, seconds=CROWD_S,
            connections=CROWD, folder=folder, core=core,
        )  # fmt: skip
    return crowd_of(found, peak, watch.times_ms, watch.failed)


def crowd_of(
    found: NDArray[np.void], peak: float, watched_ms: list[float], watched_failed: int
) -> Crowd:
    """Figures of a load's results; goodput counts what was answered while requests still came."""
    seconds = float(found["due_s"].max())
    is_answered = np.isin(found["status"], ANSWERED)
    is_refused = np.isin(found["status"], REFUSED)
    in_time = is_answered & (found["due_s"] + found["ms"] / 1_000 <= seconds)
    accepted = np.sort(found["ms"][is_answered]).tolist()
    refused = np.sort(found["ms"][is_refused]).tolist()
    watched = sorted(watched_ms)
    return Crowd(
        peak=peak,
        offered=len(found) / seconds,
        goodput=int(in_time.sum()) / seconds,
        accepted_p50_ms=percentile(accepted, 0.5),
        accepted_p99_ms=percentile(accepted, 0.99),
        refused_p50_ms=percentile(refused, 0.5),
        refused_p99_ms=percentile(refused, 0.99),
        generator_p99_ms=percentile(np.sort(found["left_ms"]).tolist(), 0.99),
        lost=int((~is_answered & ~is_refused).sum()),
        no_retry=int((is_refused & (found["has_retry"] == 0)).sum()),
        watched=len(watched) + watched_failed,
        watched_failed=watched_failed,
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
