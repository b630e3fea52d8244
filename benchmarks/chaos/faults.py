"""Faults of dependencies under load: what is broken, and what every answer says meanwhile.

A load runs at a steady rate; after a while something breaks, and later it is mended. Every
answer is kept and looked at: whether it came, when, and whether it says what it did without.
"""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chaos.load import Answer, read_answers
from benchmarks.load import percentile
from benchmarks.servers import PROJECT, Server

RATE = 150.0
LEAD_S, FAULT_S, AFTER_S = 3.0, 6.0, 8.0
ENDS_WITHIN_S = 60.0
EDGE_S = 0.4
"""Answers to requests sent just before something is mended may be whole: they waited."""
LEFT_ALONE = "left alone"
LOCKED_WITHIN_S = 10.0


@dataclass(frozen=True)
class Fault:
    """Something that breaks and is mended.

    ``is_total`` when nothing at all can be used meanwhile, from ``shows_after_s`` on: then no
    answer may say it is whole.
    """

    name: str
    begin: Callable[[], None]
    end: Callable[[], None]
    is_total: bool = True
    shows_after_s: float = 0.0


@dataclass(frozen=True)
class Broken:
    """When it was broken, for how long it certainly was, and when it was mended: epoch seconds."""

    from_s: float
    until_s: float
    mended_s: float


@dataclass(frozen=True)
class Figures:
    """What became of the requests from the fault on. Shares of those sent; times in ms.

    ``unlabelled`` answers lacked something and did not say so. ``failures_to_open`` is the most
    failed reads that one process made before it left the store alone, ``opened_ms`` how long
    after the fault that was; both None where it never did. ``closed_ms`` is how long after the
    mending the last answer that was not whole was sent; infinite where that is the last of all.
    """

    name: str
    sent: int
    answered_share: float
    degraded_share: float
    unlabelled: int
    levels: dict[str, int]
    p50_ms: float
    p99_ms: float
    worst_ms: float
    failures_to_open: int | None
    opened_ms: float | None
    closed_ms: float

    @property
    def said(self) -> str:
        """One line."""
        opened = "breaker never open"
        if self.opened_ms is not None:
            opened = f"breaker open after {self.failures_to_open} failures"
        return (
            f"{self.name}: {self.answered_share:.2%} of {self.sent:,} answered, "
            f"{self.degraded_share:.1%} degraded, {self.unlabelled} of them unlabelled; "
            f"p50 {self.p50_ms:.1f}, p99 {self.p99_ms:.1f}, worst {self.worst_ms:.0f} ms; "
            f"{opened}, whole again {self.closed_ms / 1_000:.1f} s after the mending"
        )

    @property
    def rows(self) -> list[str]:
        """Row of the page."""
        alone = "never" if self.failures_to_open is None else f"{self.failures_to_open}"
        levels = ", ".join(f"{n:,} {level}" for level, n in sorted(self.levels.items())) or "none"
        times = f"{self.p50_ms:.1f} / {self.p99_ms:.1f} / {self.worst_ms:.0f}"
        return [
            f"| {self.name} | {100 * self.answered_share:.4g} % of {self.sent:,} | "
            f"{100 * self.degraded_share:.2g} % ({levels}), {self.unlabelled} | {times} | {alone} "
            f"| {self.closed_ms / 1_000:.1f} s |"
        ]


def run_fault(fault: Fault, server: Server, path: str, bodies: Path, out: Path) -> Figures:
    """Load a service while something breaks and is mended."""
    seconds = LEAD_S + FAULT_S + AFTER_S
    command = [sys.executable, "-m", "benchmarks.chaos.load", str(server.port), path, str(bodies)]
    load = subprocess.Popen([*command, str(RATE), str(seconds), str(out)], cwd=PROJECT)
    try:
        time.sleep(LEAD_S + 1.0)  # it takes a moment to begin
        began_s = time.time()
        fault.begin()
        time.sleep(FAULT_S)
        broken_until_s = time.time()
        fault.end()
        mended_s = time.time()
        load.wait(timeout=ENDS_WITHIN_S)
    finally:
        load.kill()
        fault.end()
    return figures_of(fault, read_answers(out), Broken(began_s, broken_until_s, mended_s))


def figures_of(fault: Fault, answers: Sequence[Answer], broken: Broken) -> Figures:
    """Figures of the answers to what was sent from the fault on."""
    began_s, mended_s = broken.from_s, broken.mended_s
    met = [answer for answer in answers if answer.at_s >= began_s]
    answered = [answer for answer in met if answer.is_answered]
    times = sorted(answer.ms for answer in met)
    degraded = [answer for answer in answered if answer.level]
    levels: dict[str, int] = {}
    for answer in degraded:
        levels[answer.level] = levels.get(answer.level, 0) + 1
    alone_s = [answer.at_s for answer in degraded if LEFT_ALONE in answer.because]
    last_s = max((answer.at_s for answer in degraded), default=mended_s)
    is_whole = not answered or not max(answered, key=lambda answer: answer.at_s).level
    return Figures(
        name=fault.name,
        sent=len(met),
        answered_share=len(answered) / max(1, len(met)),
        degraded_share=len(degraded) / max(1, len(met)),
        unlabelled=sum(_is_unlabelled(answer, fault, broken) for answer in answered),
        levels=levels,
        p50_ms=percentile(times, 0.5),
        p99_ms=percentile(times, 0.99),
        worst_ms=percentile(times, 1.0),
        failures_to_open=_failures_to_open(degraded) if alone_s else None,
        opened_ms=(min(alone_s) - began_s) * 1_000 if alone_s else None,
        closed_ms=max(0.0, last_s - mended_s) * 1_000 if is_whole else math.inf,
    )


def _is_unlabelled(answer: Answer, fault: Fault, broken: Broken) -> bool:
    shows_s = broken.from_s + fault.shows_after_s + EDGE_S
    is_within = shows_s < answer.at_s < broken.until_s - EDGE_S
    return not answer.level and (answer.is_lacking or (fault.is_total and is_within))


def _failures_to_open(degraded: Sequence[Answer]) -> int:
    """Most failed answers of one process that had left before it left the store alone.

    Those that waited for the store just then fail too; they open nothing.
    """
    most = 0
    for writer in {answer.writer for answer in degraded}:
        own = [answer for answer in degraded if answer.writer == writer]
        alone_s = [answer.at_s for answer in own if LEFT_ALONE in answer.because]
        first_s = min(alone_s, default=float("inf"))
        most = max(most, sum(a.at_s + a.ms / 1_000 <= first_s for a in own))
    return most


class LockedFile:
    """Another program that keeps a transaction open which writes to a SQLite file."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None

    def lock(self) -> None:
        """Begin it."""
        self._connection = sqlite3.connect(
            self._database, isolation_level=None, check_same_thread=False, timeout=LOCKED_WITHIN_S
        )
        self._connection.execute("BEGIN EXCLUSIVE")

    def unlock(self) -> None:
        """Take it back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
