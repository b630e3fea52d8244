"""A release tried before it is loaded: ``python -m serving.trial BUNDLE MANIFEST_DIGEST``.

A model may hang, crash or take all memory when it is first asked; here it does so to a process of
its own, that lets those who answer go first. What it takes is measured on the way: memory of this
process with the model warm, less what it had before. One line of JSON on standard output.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import sys
from pathlib import Path

import msgspec

from core.errors import PlatformError
from serving.memory import resident_bytes
from serving.releases import release_of
from serving.runtime import OnnxSession
from stores.bundle import load_bundle

_PR_SET_PDEATHSIG = 1
_NICE = 10
"""Behind whoever answers, before a shadow: a swap waits for it."""

LARGEST_BYTES = 4 << 30
"""Address space of a trial: a hostile model may ask for any amount."""
LONGEST_CPU_S = 300
"""Time of the processor, should nobody be left to end the trial."""


class Tried(msgspec.Struct):
    """What came of a trial: how much memory the release takes, or what is wrong with it."""

    bytes: int = 0
    code: str = ""
    wrong: str = ""


def tried(folder: Path, digest: str) -> Tried:
    """Load a bundle, warm it up and ask its golden points."""
    before = _settled_bytes()
    try:
        release = release_of(load_bundle(folder, digest), OnnxSession, is_any_time=True)
    except PlatformError as error:
        return Tried(code=error.code, wrong=str(error))
    except Exception as error:  # a model's errors have no common class
        return Tried(code="model_failed", wrong=f"the model failed; found {type(error).__name__}")
    taken = _settled_bytes() - before
    del release
    return Tried(bytes=max(taken, 0))


def _settled_bytes() -> int:
    """Memory in use, what was given back left out."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return resident_bytes()


def limit_oneself() -> None:
    """Give up what a trial needs none of: much memory, much time, files to write, a core dump."""
    for what, limit in (
        (resource.RLIMIT_AS, LARGEST_BYTES),
        (resource.RLIMIT_CPU, LONGEST_CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, most = resource.getrlimit(what)
        resource.setrlimit(what, (limit, limit) if most < 0 else (min(limit, most), most))


def main() -> int:
    """Try one release; ended by the kernel with its parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(_NICE)
    limit_oneself()
    folder, digest = sys.argv[1:]
    sys.stdout.write(msgspec.json.encode(tried(Path(folder), digest)).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
