"""`open_loop.c` from Python: more requests than `benchmarks.load` can send, each with its figures.

A generator in Python takes more of a core for a request than a refusal costs the service, so on
two cores it cannot ask for three times what one core answers, and where service and load share
them its own time is in every latency. This one is compiled when it is first needed; it takes a
tenth of that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.load import CLOSED, REFUSED, UNANSWERED, UNREADABLE, Outcome, percentile
from core.errors import DependencyError
from stores.merging import COMPILERS

SOURCE = Path(__file__).with_name("open_loop.c")
MISSING = "no C compiler is installed (apt-get install gcc libc6-dev)"
BUILT_WITHIN_S, GRACE_S = 60.0, 30.0
NEVER_ANSWERED = {0: UNANSWERED, -1: CLOSED, -2: UNREADABLE}
RESULT = np.dtype(
    [("due_s", "<f8"), ("left_ms", "<f8"), ("ms", "<f8"), ("status", "<i4"), ("has_retry", "<i4")]
)
"""One request: when it was due, from the start of the load; how much later it left, and how long
after that instant its answer was whole; its status (0 unanswered, -1 closed, -2 not to be read);
whether a Retry-After came with it."""


def is_there() -> bool:
    """Whether this machine can compile it."""
    return any(map(shutil.which, COMPILERS))


def asked(
    port: int, requests: Sequence[bytes], *, rate: float, seconds: float,
    connections: int, folder: Path, core: int = -1, seed: int = 1, is_woken: bool = False,
) -> NDArray[np.void]:  # fmt: skip
    """Send whole requests in turn, ``rate`` a second on average; an array of `RESULT`.

    Parameters
    ----------
    connections
        Kept ones; a request that finds none free waits, and that counts.
    folder
        Where the requests and the figures lie meanwhile.
    core
        It stays on that one; -1 for any.
    is_woken
        Every answer is taken as it comes, which costs whoever sends it; else what has come is taken
        with the next request, and twice a millisecond.

    Raises
    ------
    DependencyError
        If it cannot be compiled here, or does not get to its end.
    """
    given, out = folder / "requests.bin", folder / "results.bin"
    given.write_bytes(b"".join(struct.pack("<I", len(each)) + each for each in requests))
    command = ["taskset", "-c", str(core)] if core >= 0 else []
    command += [str(_program()), str(port), str(given), str(rate), str(seconds)]
    command += [str(connections), str(seed), str(out), str(int(is_woken))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + GRACE_S)
    if done.returncode != 0:
        raise _failed("the load did not get to its end", done.stderr)
    return np.fromfile(out, dtype=RESULT)


def outcome_of(found: NDArray[np.void]) -> Outcome:
    """What came of a load. What was never answered has waited for as long as anybody did.

    Examples
    --------
    >>> rows = [(0.0, 0.0, 2.0, 200, 0), (0.5, 0.1, 4.0, 200, 0), (1.0, 0.0, 1.0, 503, 1)]
    >>> outcome = outcome_of(np.array(rows, dtype=RESULT))
    >>> outcome.answered, outcome.errors, outcome.p99_ms, outcome.refused_p99_ms
    (2, {'503': 1}, 4.0, 1.0)
    """
    ends_s = float((found["due_s"] + found["ms"] / 1_000).max())
    status, took_ms = found["status"], found["ms"].copy()
    is_silent = status == 0
    took_ms[is_silent] = 1_000 * (ends_s - found["due_s"][is_silent])
    is_good = (status >= 200) & (status < 300)
    errors = Counter(NEVER_ANSWERED.get(each, str(each)) for each in status[~is_good].tolist())
    ordered = np.sort(took_ms[is_good | is_silent]).tolist()
    refused = np.sort(took_ms[np.isin(status, [int(each) for each in REFUSED])]).tolist()
    return Outcome(
        sent=len(found),
        answered=int(is_good.sum()),
        errors=dict(errors),
        seconds=ends_s,
        p50_ms=percentile(ordered, 0.5),
        p99_ms=percentile(ordered, 0.99),
        p999_ms=percentile(ordered, 0.999),
        max_ms=percentile(ordered, 1.0),
        lateness_p99_ms=percentile(np.sort(found["left_ms"]).tolist(), 0.99),
        refused_p99_ms=percentile(refused, 0.99),
    )


def _program() -> Path:
    """The program of this source, compiled unless it is there."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    path = SOURCE.parent / "__pycache__" / f"open_loop-{digest}"
    if path.is_file():
        return path
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise DependencyError("the load cannot be compiled", found=MISSING)
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    command = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(unfinished), str(SOURCE)]
    done = subprocess.run([*command, "-lm"], capture_output=True, text=True, timeout=BUILT_WITHIN_S)
    if done.returncode != 0:
        raise _failed("the load cannot be compiled", done.stderr)
    unfinished.replace(path)
    return path


def _failed(what: str, said: str) -> DependencyError:
    last = (said.strip().splitlines() or ["nothing said"])[-1][:200]
    return DependencyError(what, found=last, remedy=f"read {SOURCE}")
