"""Files of segments: begun, locked and surely this writer's; ended, whole and on the disk."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from core.errors import DependencyError
from stores.durable import is_still

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def begun(path: Path) -> int | None:
    """Descriptor of a new segment, locked by this process.

    None where somebody who seals what dead writers left came between the file and its lock, and
    took it, empty, for one of those: then it is lost to its writer, who begins the next.

    Raises
    ------
    DependencyError
        If the disk, or the system, gives no file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, _FLAGS, 0o600)
    except OSError as error:
        raise not_kept(error) from error
    try:
        if _is_locked(descriptor) and is_still(path, descriptor):
            return descriptor
    except OSError as error:
        os.close(descriptor)
        path.unlink(missing_ok=True)  # else it would be in the way of the next try
        raise not_kept(error) from error
    os.close(descriptor)
    return None


def ended(descriptor: int, path: Path, end: int) -> int:
    """The descriptor of a segment that is sealed now, what stands behind its ``end`` cut off.

    One whose file is gone is given up, or none behind it would ever be sealed.
    """
    if os.fstat(descriptor).st_size > end:
        os.ftruncate(descriptor, end)
    os.fsync(descriptor)
    with suppress(FileNotFoundError):
        path.rename(path.with_suffix(".sealed"))
    return descriptor


def not_kept(error: OSError | None) -> DependencyError:
    """A record cannot be written; ``error`` is None where only a part of it could."""
    because = "a short write" if error is None else os.strerror(error.errno or 0)
    return DependencyError(
        "a prediction record could not be kept",
        found=because,
        remedy="give the records folder room; no answer leaves without its record",
        code="record_not_kept",
    )


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
