"""The service's side of a trial: once for all workers of a home, killed when it hangs.

What a trial found is kept by the manifest's digest, so workers that share a home try a release
once between them, and a restart tries nothing again. That a release is bad is not kept. One that is
loaded untried leaves a mark meanwhile: should it end the process, the next one tries it first.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from core.errors import IntegrityError
from serving.models.trial import Tried
from serving.spawning import spawned
from stores.durable import exclusive_lock

COMMAND = (sys.executable, "-m", "serving.models.trial")
MOST_BYTES = 1 << 16
"""Of what a trial says."""

_decoder = msgspec.json.Decoder(Tried)


class Trials:
    """Tries releases in processes of their own.

    Parameters
    ----------
    directory
        Where what was found is kept.
    patience_s
        Longest time that a release may take to load, warm up and answer its golden points.
    """

    def __init__(
        self, directory: Path, *, patience_s: float, command: Sequence[str] = COMMAND
    ) -> None:
        self._directory = directory
        self._patience_s = patience_s
        self._command = tuple(command)

    def known_bytes(self, digest: str) -> int | None:
        """Memory that a release takes by an earlier trial; None when there was none."""
        try:
            return _decoder.decode(self._path(digest).read_bytes()).bytes
        except (OSError, msgspec.MsgspecError):
            return None

    def measured_bytes(self, folder: Path, digest: str) -> int:
        """Memory that a release takes, tried now if it never was. Blocking.

        Raises
        ------
        IntegrityError
            If it does not load, does not answer its golden points, crashes or hangs.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(self._directory / f"{_name(digest)}.lock"):
            known = self.known_bytes(digest)
            if known is not None:
                return known
            found = self._tried(folder, digest)
            if found.code:
                raise IntegrityError(
                    "a release failed its trial",
                    found=found.wrong,
                    remedy="build it again; what serves goes on",
                    code=found.code,
                )
            self._keep(digest, found)
        return found.bytes

    def has_ended_a_process(self, digest: str) -> bool:
        """Whether a process that loaded it untried ended, or was ended, before it was loaded."""
        try:
            descriptor = os.open(self._mark(digest), os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # it is just being loaded
            return False
        finally:
            os.close(descriptor)
        return True

    @contextmanager
    def marked(self, digest: str) -> Iterator[None]:
        """Leave a mark while a release is loaded untried; it stays where the process ends."""
        path = self._mark(digest)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:  # no mark is better than no service
            yield
            return
        try:
            # Where another worker holds the lock just now, the mark is that one's.
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def _keep(self, digest: str, found: Tried) -> None:
        path = self._path(digest)
        written = path.with_suffix(".tmp")
        written.write_bytes(msgspec.json.encode(found))
        written.replace(path)

    def _mark(self, digest: str) -> Path:
        return self._directory / f"{_name(digest)}.loading"

    def _path(self, digest: str) -> Path:
        return self._directory / f"{_name(digest)}.json"

    def _tried(self, folder: Path, digest: str) -> Tried:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                command = [*self._command, str(folder.absolute()), digest]
                pid = spawned(command, stdin=theirs.fileno())
            try:
                said, is_late = self._heard(ours), False
            except TimeoutError:
                said, is_late = b"", True
            finally:
                os.kill(pid, signal.SIGKILL)  # of one that ended nothing is left to kill
                _, status = os.waitpid(pid, 0)
        if is_late:
            raise _hangs(self._patience_s)
        try:
            return _decoder.decode(said)
        except msgspec.MsgspecError:
            raise _crashes(os.waitstatus_to_exitcode(status)) from None

    def _heard(self, ours: socket.socket) -> bytes:
        ours.settimeout(self._patience_s)
        with ours.makefile("rb") as answer, suppress(ConnectionError):
            return answer.readline(MOST_BYTES)
        return b""


def _hangs(patience_s: float) -> IntegrityError:
    return IntegrityError(
        "a release hangs when it is loaded",
        found=f"no answer to its golden points within {patience_s:g} s",
        remedy=(
            "build it smaller, mend its model, or give it longer: "
            "THROUGHLINE_CONTROLLER__TRIAL_MS, THROUGHLINE_MODELS__PATIENCE_MS; "
            "what serves goes on"
        ),
        code="model_hangs",
    )


def _crashes(status: int) -> IntegrityError:
    return IntegrityError(
        "a release crashes the process that loads it",
        found=f"status {status}",
        remedy="build it again with the versions in uv.lock; what serves goes on",
        code="model_crashes",
    )


def _name(digest: str) -> str:
    """File name of a digest, whatever algorithm it names."""
    return digest.replace(":", "-")
