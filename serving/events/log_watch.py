"""Waiting until a log is written, as the kernel tells it (Linux's inotify), instead of looking.

Many looks a second at logs in which nothing happens cost a tenth of a core. What is told is
only that there may be something: a writer on another machine, or one who wrote before his
folder was watched, is not heard, so whoever waits looks all the same, but seldom.
"""

from __future__ import annotations

import ctypes
import os
import select
from collections.abc import Iterable
from pathlib import Path

LONGEST_WAIT_S = 0.1
"""Until a write that nobody told of is seen: ten looks a second cost next to nothing."""

_NAMED, _WRITTEN = 0x80, 0x02  # IN_MOVED_TO: an epoch was sealed or landed; IN_MODIFY
_READ_BYTES = 65_536
_LIBC = ctypes.CDLL(None)


class LogWatch:
    """Watches the folders it is given, for as long as it lives."""

    def __init__(self) -> None:
        has_inotify = hasattr(_LIBC, "inotify_init1")
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._descriptor: int = _LIBC.inotify_init1(flags) if has_inotify else -1
        self._watched: set[Path] = set()

    def wait(self, folders: Iterable[Path]) -> bool:
        """Wait until a file in one of the folders is written, a tenth of a second at most.

        A write since the last wait ends it at once, as does a folder that was not watched
        until now: what was written there before is for the caller to see.

        Returns
        -------
        bool
            Whether the kernel tells; where not, nothing was waited for.
        """
        new = set(folders) - self._watched
        if self._descriptor < 0 or not all(self._watch(folder) for folder in new):
            return False
        self._watched |= new
        if not new and select.select([self._descriptor], [], [], LONGEST_WAIT_S)[0]:
            os.read(self._descriptor, _READ_BYTES)
        return True

    def close(self) -> None:
        """Watch nothing any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _watch(self, folder: Path) -> bool:
        name = os.fsencode(folder)
        told: int = _LIBC.inotify_add_watch(self._descriptor, name, _NAMED | _WRITTEN)
        return told >= 0
