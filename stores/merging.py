"""Merging: online values of many entities into feature values, by compiled code where it is there.

The compiled code (`merge/` beside this file) answers a whole pass in one call and equals the
reader in Python (`core.features.reading`) to the last bit. What it does not answer, that reader
does: views with functions it does not know, bytes that are not whole, points that are too old. So
a machine without a C compiler loses speed and nothing else.

``python -m stores.merging`` builds it; the library's name holds a digest of its source, so that
an old one is never loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import platform
import shutil
import subprocess
import sys
from array import array
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigurationError
from core.features import hll
from core.features.merge_program import program_of
from core.features.plan import Plan
from core.features.reading import Status, reader_of

SOURCES = Path(__file__).with_name("merge")
COMPILERS = ("cc", "gcc", "clang")
# A contracted multiply-add would round once where the reader in Python rounds twice.
FLAGS = ("-O2", "-std=c11", "-fwrapv", "-ffp-contract=off")
SHARED = ("-fPIC", "-shared", "-fvisibility=hidden")
LIBRARIES = ("-lm",)
BUILD_WITHIN_S = 60.0

STATUSES: tuple[Status, ...] = ("PRESENT", "NOT_FOUND", "fresh", "stale", "missing")
"""In the order of their numbers in ``merge/merge.c``."""
_ASK_PYTHON = len(STATUSES)
_NO_PROGRAM = -1
_NEVER_MS = -(2**63)
_JOB_NUMBERS = 6

Library = ctypes.PyDLL


Question = tuple[int, int, int, int]
"""Number of a view; places of one entity's base and delta among the values; the instant (ms)."""


Merged = tuple[Sequence[float], Status, int | None, int]
"""An answer as `core.features.reading.ViewReading`, as a tuple: values (NaN for null), status, the
newest row's instant (ms, None for none), the position that was seen (-1 for none)."""


class Answers(NamedTuple):
    """Answers in the order of the questions; all their values end to end, and where each begins."""

    merged: list[Merged]
    numbers: NDArray[np.float64]
    starts: list[int]


class Merging:
    """Merges for one plan.

    Parameters
    ----------
    library
        The compiled merge. Without it all is merged in Python.
    """

    def __init__(self, plan: Plan, library: Library | None) -> None:
        self._library = library
        self._readers = [reader_of(view) for view in plan.views]
        self._widths = [len(view.feature_names) for view in plan.views]
        self._programs = array("q")
        self._starts: list[int] = []
        for view in plan.views:
            program = program_of(view)
            self._starts.append(_NO_PROGRAM if program is None else len(self._programs))
            self._programs.extend(program or ())

    def merge(
        self,
        questions: Sequence[Question],
        values: Sequence[bytes | None],
        first_ms: Sequence[int | None],
    ) -> Answers:
        """Answers to questions.

        Parameters
        ----------
        questions
            Which view, whose values, at which instant.
        values
            What stands under all keys that were read.
        first_ms
            For each view the head of its last finished base, as `ViewReader.read` takes it.

        Raises
        ------
        InvalidInputError, IntegrityError
            As `ViewReader.read`.
        """
        heads_ms = [_NEVER_MS if ms is None else ms for ms in first_ms]
        jobs: list[int] = []
        starts: list[int] = []
        size = 0
        for view, base, delta, at_ms in questions:
            jobs += (self._starts[view], base, delta, at_ms, heads_ms[view], size)
            starts.append(size)
            size += self._widths[view]
        numbers = array("d", bytes(8 * size))
        results = array("q", (_ASK_PYTHON, 0, 0)) * len(questions)
        if self._library is not None:
            self._compiled(self._library, jobs, values, numbers, results)
        listed = numbers.tolist()
        merged = []
        told = iter(results.tolist())
        for question, start, status, newest_ms, seen in zip(
            questions, starts, told, told, told, strict=True
        ):
            if status == _ASK_PYTHON:
                found = self._in_python(question, values, first_ms)
                numbers[start : start + len(found[0])] = array("d", found[0])
                merged.append(found)
            else:
                of_it = listed[start : start + self._widths[question[0]]]
                newest = None if newest_ms == _NEVER_MS else newest_ms
                merged.append((of_it, STATUSES[status], newest, seen))
        return Answers(merged, np.frombuffer(numbers), starts)

    def _compiled(
        self,
        library: Library,
        jobs: list[int],
        values: Sequence[bytes | None],
        numbers: array[float],
        results: array[int],
    ) -> None:
        """Put down all numbers end to end, and what is told of each question."""
        given = array("q", jobs)
        sizes = array("q", [-1 if value is None else len(value) for value in values])
        places = array("q", bytes(8 * len(values)))
        library.throughline_merge(
            self._programs.buffer_info()[0],
            given.buffer_info()[0],
            len(jobs) // _JOB_NUMBERS,
            b"".join(filter(None, values)),  # one copy costs less than a pointer a value
            sizes.buffer_info()[0],
            len(values),
            places.buffer_info()[0],
            numbers.buffer_info()[0],
            results.buffer_info()[0],
        )

    def _in_python(
        self, question: Question, values: Sequence[bytes | None], first_ms: Sequence[int | None]
    ) -> Merged:
        view, base, delta, at_ms = question
        found = self._readers[view].read(values[base], values[delta], at_ms, first_ms[view])
        numbers = [math.nan if value is None else value for value in found.values]
        return numbers, found.status, found.newest_ms, found.seen_position


@cache
def compiled_merge() -> Library | None:
    """The compiled merge, where it was built for this source and machine."""
    path = library_path()
    return loaded(path) if path.is_file() else None


def library_path() -> Path:
    """Where the library of this source is kept: beside it, with Python's own compiled files."""
    parts = [" ".join((*FLAGS, *SHARED, *LIBRARIES)).encode()]
    parts += [path.read_bytes() for path in sorted(SOURCES.glob("*.[ch]"))]
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()
    return SOURCES / "__pycache__" / f"{digest[:16]}-{platform.machine()}.so"


def loaded(path: Path) -> Library:
    """A library, its tables filled from those of `core.features.hll`."""
    library = ctypes.PyDLL(str(path))  # a call takes microseconds: the lock is kept
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    library.throughline_merge.argtypes = [
        pointer, pointer, number, ctypes.c_char_p, pointer, number, pointer, pointer, pointer
    ]  # fmt: skip
    library.throughline_merge.restype = None
    library.throughline_compute.argtypes = [
        pointer, pointer, number, pointer, number, pointer, number, pointer
    ]  # fmt: skip
    library.throughline_compute.restype = None
    library.throughline_prepare.argtypes = [ctypes.c_double, ctypes.c_double, ctypes.c_void_p]
    library.throughline_prepare.restype = None
    library.throughline_crc.argtypes = [ctypes.c_char_p, number]
    library.throughline_crc.restype = ctypes.c_uint32
    text = ctypes.c_char_p
    library.throughline_frames.argtypes = [text, text, text, text, text, pointer, pointer]
    library.throughline_frames.restype = number
    counts = array("d", hll.LINEAR_COUNTS)
    library.throughline_prepare(hll.RAW_SCALE, hll.LINEAR_LIMIT, counts.buffer_info()[0])
    return library


def build(sources: Path, target: Path) -> None:
    """Compile the folder ``sources`` into ``target``; a whole library appears there or none.

    Raises
    ------
    ConfigurationError
        If this machine has no C compiler, or it refuses.
    """
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None or sys.byteorder != "little":
        raise ConfigurationError(
            "the merge cannot be compiled here",
            found=f"none of {', '.join(COMPILERS)}, or numbers that begin with their high bytes",
            remedy="install gcc, or let Python merge: the same values at half the speed",
            code="no_compiler",
        )
    target.parent.mkdir(exist_ok=True)
    unfinished = target.with_suffix(f".{os.getpid()}")
    command = [
        compiler,
        *FLAGS,
        *SHARED,
        "-o",
        str(unfinished),
        str(sources / "merge.c"),
        *LIBRARIES,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_WITHIN_S)
    if done.returncode != 0:
        raise ConfigurationError(
            "the merge cannot be compiled",
            found=(done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[0],
            remedy="install gcc and the headers of the C library (Debian: gcc, libc6-dev)",
            code="not_compiled",
        )
    unfinished.replace(target)


def main() -> int:
    """Build the library unless it is there; say what came of it."""
    path = library_path()
    if not path.is_file():
        try:
            build(SOURCES, path)
        except ConfigurationError as error:
            sys.stderr.write(f"merging: {error}\n")
            return 1
    loaded(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
