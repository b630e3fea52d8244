"""One machine takes events into the files of a home: two would write over each other.

A file of the home names it. Its processes share a lock on the file, which the kernel lets go when
the last of them has died; then another machine may put its name there.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from core.errors import NotReadyError

_LONGEST_NAME = 255


class Taker:
    """The right of this machine to append to the files of a home's logs, once it has it.

    Parameters
    ----------
    path
        The file, on a disk that all machines share.
    machine
        Name of this machine, or pod; no other has it.
    """

    def __init__(self, path: Path, machine: str) -> None:
        self._path = path
        self._machine = machine.encode()[:_LONGEST_NAME]
        self._descriptor = -1

    def hold(self) -> None:
        """Have the right from now until this process ends.

        Raises
        ------
        NotReadyError
            If another machine has it.
        """
        if self._descriptor >= 0:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not self._is_named(descriptor):
                self._name(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Give it up, for another machine to take."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _is_named(self, descriptor: int) -> bool:
        """Whether the file names this machine, with our share of its lock held."""
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return os.pread(descriptor, _LONGEST_NAME + 1, 0) == self._machine

    def _name(self, descriptor: int) -> None:
        """Put our name where that of a machine stands that holds no share any more."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Giving up a share to take all lets others in between: they are told to wait, too.
            raise NotReadyError(
                "another replica of the service takes events, and without Kafka one alone may",
                found=os.pread(descriptor, _LONGEST_NAME, 0).decode("utf-8", "replace"),
                remedy="send them to that one, or again if it has ended; "
                "THROUGHLINE_KAFKA__BOOTSTRAP lets all replicas take them",
                code="events_elsewhere",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, self._machine, 0)
        os.fsync(descriptor)
        if not self._is_named(descriptor):
            self._name(descriptor)
