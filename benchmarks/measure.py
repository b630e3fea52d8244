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


def _children() -> dict[int, list[int]]:
    """Process id to the ids of its children, for the whole machine."""
    tree: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            tree.setdefault(parent, []).append(int(entry.name))
    return tree


def tree_rss_bytes(root: int) -> int:
    """Resident memory of a process and all its descendants; shared pages count once each."""
    tree, waiting, total = _children(), [root], 0
    while waiting:
        pid = waiting.pop()
        waiting.extend(tree.get(pid, ()))
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
        except (OSError, IndexError):
            continue
    return total


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
        while not is_done.wait(0.1):
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
        failure = (errors.strip().splitlines() or ["no message"])[-1][:300]
    result = {} if failure else json.loads(output.strip().splitlines()[-1])
    return Measurement(name, wall_s, peak / 2**20, result, failure)
