"""Files that anybody may have put there, read without being held up by them.

A named pipe would be waited for without end, a device has no end, a sparse file may claim any size:
only a regular file of a size that is expected is read.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from core.errors import IntegrityError


def read_plain(path: Path, *, most_bytes: int) -> bytes:
    """Content of a regular file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    IntegrityError
        If it is no regular file, or larger than ``most_bytes``.
    """
    # Without waiting: to open a pipe that nobody writes to would never end.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most_bytes:
            raise IntegrityError(
                f"{path.name} is no file that could have been written here",
                found=f"{found.st_size:,} bytes, at most {most_bytes:,} are taken"
                if stat.S_ISREG(found.st_mode)
                else "a folder, a pipe or a device",
                remedy="remove it, and look for who put it there",
                code="bad_file",
            )
        return file.read(most_bytes)
