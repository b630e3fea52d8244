"""A release tried before it is loaded: ``python -m serving.models.trial BUNDLE MANIFEST_DIGEST``.

A model may hang, crash or take all memory when it is first asked; here it does so to a process of
its own, that lets those who answer go first. What it takes is measured on the way: memory of this
process with the model warm, less what it had before. One line of JSON goes over the socket that is
its standard input: whatever a library prints is no answer.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from pathlib import Path

import msgspec

from core.errors import PlatformError
from serving.child import limit_oneself, yield_to_all
from serving.models.releases import release_of
from serving.models.runtime import OnnxSession
from serving.telemetry.memory import resident_bytes
from stores.shelf.bundle import load_bundle

_NICE = 10
"""Behind whoever answers, before a shadow: a swap waits for it."""

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


def main() -> int:
    """Try one release; ended by the kernel with its parent."""
    _print_nowhere()
    yield_to_all(nice=_NICE)
    limit_oneself(cpu_s=LONGEST_CPU_S, may_write=False)
    folder, digest = sys.argv[1:]
    with open(0, "wb", closefd=False) as told:
        told.write(msgspec.json.encode(tried(Path(folder), digest)) + b"\n")
    return 0


def _print_nowhere() -> None:
    """Close standard output and error, which are those of whoever asked."""
    with Path(os.devnull).open("wb") as nowhere:
        for descriptor in (1, 2):
            os.dup2(nowhere.fileno(), descriptor)


if __name__ == "__main__":
    sys.exit(main())
