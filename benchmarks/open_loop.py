"""`open_loop.c` from Python: more requests than `benchmarks.load` can send, each with its figures.

A generator in Python takes as much of a core for a request as a refusal costs the service, so on
two cores it cannot ask for three times what one core answers. This one is compiled when it is
first needed; it takes a tenth of that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DependencyError
from stores.merging import COMPILERS

SOURCE = Path(__file__).with_name("open_loop.c")
MISSING = "no C compiler is installed (apt-get install gcc libc6-dev)"
BUILT_WITHIN_S, GRACE_S = 60.0, 30.0
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
    connections: int, folder: Path, core: int = -1, seed: int = 1,
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

    Raises
    ------
    DependencyError
        If it cannot be compiled here, or does not get to its end.
    """
    given, out = folder / "requests.bin", folder / "results.bin"
    given.write_bytes(b"".join(struct.pack("<I", len(each)) + each for each in requests))
    command = ["taskset", "-c", str(core)] if core >= 0 else []
    command += [str(_program()), str(port), str(given), str(rate), str(seconds)]
    command += [str(connections), str(seed), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + GRACE_S)
    if done.returncode != 0:
        raise _failed("the load did not get to its end", done.stderr)
    return np.fromfile(out, dtype=RESULT)


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
