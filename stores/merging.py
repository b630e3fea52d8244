"""Merging: online values of many entities into feature values, by compiled code where it is there.

The compiled code (`merge/` beside this file) answers a whole pass in one call
(`stores.view_merging`) and equals the reader in Python (`core.features.reading`) to the last bit.
What it does not answer, that reader does: views with functions it does not know, bytes that are not
whole, points that are too old. So a machine without a C compiler loses speed and nothing else.

``python -m stores.merging`` builds it; the library's name holds a digest of its source, so that
an old one is never loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from array import array
from functools import cache
from pathlib import Path

from core.errors import ConfigurationError
from core.features import hll

SOURCES = Path(__file__).with_name("merge")
COMPILERS = ("cc", "gcc", "clang")
# A contracted multiply-add would round once where the reader in Python rounds twice.
FLAGS = ("-O2", "-std=c11", "-fwrapv", "-ffp-contract=off")
SHARED = ("-fPIC", "-shared", "-fvisibility=hidden")
LIBRARIES = ("-lm",)
BUILD_WITHIN_S = 60.0

Library = ctypes.PyDLL


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
    library.throughline_merge.argtypes = [pointer, ctypes.c_char_p]
    library.throughline_merge.restype = number
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
