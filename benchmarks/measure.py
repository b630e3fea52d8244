"""Run a command and measure it as a whole: seconds, peak memory of its process tree, its result.

A case is a module of its own, run in a fresh process, that prints one JSON object as its
last line. Its own ``seconds`` (without imports and reading, where it says so) is kept beside
the wall time of the process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
WATCH_EVERY_S = 0.1


@dataclass(frozen=True)
class Measurement:
    """What one case took. ``failure`` says why there is no result."""

    name: str
    wall_s: float
    peak_rss_mb: float
    result: dict[str, Any] = field(default_factory=dict)
    failure: str = ""

    @property
    def seconds(self) -> float:
        """Seconds of the work itself, or of the process where the case names none."""
        return float(self.result.get("seconds", self.wall_s))

    @property
    def finished_s(self) -> float | None:
        """Seconds, unless there is no result."""
        return None if self.failure else self.seconds

    @property
    def first_s(self) -> float | None:
        """Seconds of the first pass, where the case made more than one."""
        return self._said("first_pass_s")

    @property
    def cpu_s(self) -> float | None:
        """CPU seconds of the work on all cores, where the case says them."""
        return self._said("cpu_s")

    def _said(self, key: str) -> float | None:
        return float(self.result[key]) if key in self.result else None


def _stats() -> dict[int, list[str]]:
    """Fields of ``/proc/PID/stat`` after the command's name, for every process."""
    found: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except (OSError, IndexError):
                continue
    return found


def _tree(root: int) -> dict[int, list[str]]:
    """Fields of a process and of all its descendants."""
    stats = _stats()
    children: dict[int, list[int]] = {}
    for pid, fields in stats.items():
        children.setdefault(int(fields[1]), []).append(pid)
    found, waiting = {}, [root]
    while waiting:
        pid = waiting.pop()
        waiting.extend(children.get(pid, ()))
        if pid in stats:
            found[pid] = stats[pid]
    return found


def tree_rss_bytes(root: int) -> int:
    """Resident memory of a process and all its descendants; a shared page counts in each."""
    return sum(int(fields[21]) * PAGE_BYTES for fields in _tree(root).values())


def largest_rss_bytes(root: int) -> int:
    """Resident memory of the largest process of a tree; 0 when there is none."""
    return max((int(fields[21]) * PAGE_BYTES for fields in _tree(root).values()), default=0)


def tree_cpu_s(root: int) -> float:
    """CPU seconds of a process, its descendants, and those of them that ended and were waited for.

    Take it at the start and the end of a pass: on a busy machine the difference says more
    than the wall clock.
    """
    ticks = sum(sum(map(int, fields[11:15])) for fields in _tree(root).values())
    return ticks / TICKS_A_SECOND


@dataclass
class Pass:
    """One timed pass of a case: ``with Pass() as it: ...``, then its seconds."""

    seconds: float = 0.0
    cpu_s: float = 0.0

    def __enter__(self) -> Pass:
        self.cpu_s, self.seconds = -tree_cpu_s(os.getpid()), -time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter()
        self.cpu_s += tree_cpu_s(os.getpid())


def reported(passes: list[Pass]) -> dict[str, float]:
    """What a case says of its passes: the last one counts, the first stands beside it."""
    first, last = passes[0], passes[-1]
    times = {"seconds": last.seconds, "cpu_s": last.cpu_s}
    if len(passes) > 1:
        times |= {"first_pass_s": first.seconds, "first_pass_cpu_s": first.cpu_s}
    return times


def measure(
    name: str, command: list[str], *, timeout_s: float, environment: dict[str, str] | None = None
) -> Measurement:
    """Run ``command`` in its own process group; kill the group when it runs over."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )
    peak = 0
    is_done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not is_done.wait(WATCH_EVERY_S):
            peak = max(peak, tree_rss_bytes(process.pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    failure = ""
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        failure = f"not finished in {timeout_s:.0f} s"
    wall_s = time.perf_counter() - started
    is_done.set()
    watcher.join()
    if not failure and process.returncode != 0:
        failure = _last_line(errors) or f"exit status {process.returncode}"
    result: dict[str, Any] = {}
    if not failure:
        try:
            result = json.loads((output.strip().splitlines() or [""])[-1])
        except ValueError:
            failure = f"no result on its last line: {_last_line(output)}"
    return Measurement(name, wall_s, peak / 2**20, result, failure)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:300]
