"""wrk, the closed-loop load generator: how much a server answers, and how fast while it does.

Each of its connections waits for an answer before it asks again, so its latencies are those of
a server that is never asked for more than it can do; `benchmarks.load` is for the others.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from core.errors import DependencyError

SCRIPT = Path(__file__).with_name("wrk.lua")
MAX_THREADS = 2
GRACE_S = 30.0
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1_000.0, "m": 60_000.0, "h": 3_600_000.0}
MISSING = "wrk is not installed (apt-get install wrk)"

_TIME = r"([\d.]+)(us|ms|s|m|h)"
_RATE = re.compile(r"^Requests/sec:\s+([\d.]+)", re.MULTILINE)
_MAX = re.compile(rf"^\s+Latency\s+{_TIME}\s+{_TIME}\s+{_TIME}\s", re.MULTILINE)
_REFUSED = re.compile(r"^\s+Non-2xx or 3xx responses: (\d+)", re.MULTILINE)
_SOCKETS = re.compile(r"^\s+Socket errors: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class ClosedLoop:
    """What wrk said. Latencies in ms; ``errors`` are answers outside 2xx and 3xx, and sockets."""

    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int

    @property
    def said(self) -> str:
        """One line for the table."""
        errors = f", {self.errors:,} errors" if self.errors else ""
        return (
            f"{self.rate:,.0f} requests/s, p50 {self.p50_ms:.2f}, p99 {self.p99_ms:.2f} ms{errors}"
        )


def is_there() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def closed_loop(
    url: str, bodies: Path, *, connections: int, seconds: int, core: int = -1
) -> ClosedLoop:
    """Ask ``url`` for ``seconds`` over ``connections``, with the lines of ``bodies`` in turn.

    With ``core`` wrk stays on that core.
    """
    threads = min(connections, MAX_THREADS) if core < 0 else 1
    command = ["taskset", "-c", str(core)] if core >= 0 else []
    command += ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--latency"]
    command += ["-s", str(SCRIPT), url, "--", str(bodies)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + GRACE_S)
    if done.returncode != 0:
        raise _unreadable(done.stderr or done.stdout)
    return parsed(done.stdout)


def parsed(output: str) -> ClosedLoop:
    """What ``wrk --latency`` printed, in numbers.

    Raises
    ------
    DependencyError
        If it is not what wrk prints, or nothing was answered.
    """
    rate, worst = _RATE.search(output), _MAX.search(output)
    if rate is None or worst is None:
        raise _unreadable(output)
    refused, sockets = _REFUSED.search(output), _SOCKETS.search(output)
    broken = sum(map(int, re.findall(r"\d+", sockets[1]))) if sockets else 0
    return ClosedLoop(
        rate=float(rate[1]),
        p50_ms=_distribution_ms(output, 50),
        p99_ms=_distribution_ms(output, 99),
        max_ms=_ms(worst[5], worst[6]),
        errors=broken + (int(refused[1]) if refused else 0),
    )


def _distribution_ms(output: str, percent: int) -> float:
    found = re.search(rf"^\s+{percent}%\s+{_TIME}\s*$", output, re.MULTILINE)
    if found is None:
        raise _unreadable(output)
    return _ms(found[1], found[2])


def _ms(number: str, unit: str) -> float:
    return float(number) * UNITS_MS[unit]


def _unreadable(output: str) -> DependencyError:
    last = (output.strip().splitlines() or ["nothing"])[-1][:200]
    return DependencyError(
        "wrk did not measure",
        found=last,
        remedy="see that the server answers and wrk is 4.1 or later",
    )
