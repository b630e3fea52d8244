"""Named points at which a job can be made to die, for the proof that nothing is lost.

A job takes ``crash_at`` among its arguments and reaches its points in order. At the named
one the process is killed as ``kill -9`` would: no handler, no flush, no finally. Started as
the leader of its own process group, it takes its JVM with it. With ``@FILE`` behind the name
the job makes that file and stands still where it is, so that one kill can meet many jobs of a
process, each at its own point.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from core.errors import ConfigurationError

POINTS = (
    "ingest.before_read",
    "ingest.in_worker",
    "ingest.before_rejects",
    "ingest.after_rejects",
    "ingest.in_merge",
    "ingest.after_merge",
    "tiles.before_read",
    "tiles.in_worker",
    "tiles.in_replace",
    "tiles.after_replace",
    "training_set.before_points",
    "training_set.in_worker",
    "training_set.after_staging",
    "training_set.in_write",
    "training_set.after_write",
    "scores.before_points",
    "scores.in_worker",
    "scores.after_staging",
    "scores.in_publish",
    "scores.after_publish",
    "predictions.before_read",
    "predictions.in_worker",
    "predictions.in_write",
    "predictions.after_write",
    "predictions.in_removal",
    "profiles.before_read",
    "profiles.in_worker",
    "profiles.in_replace",
    "profiles.after_replace",
    "retention.before_delete",
    "retention.after_delete",
    "retention.before_purge",
)
IN_WRITES = frozenset(
    {
        "ingest.in_merge",
        "tiles.in_replace",
        "training_set.in_write",
        "scores.in_publish",
        "predictions.in_write",
        "profiles.in_replace",
    }
)
"""Points within a write: the JVM goes on with it, whatever the driver does."""

POLL_S = 0.002
WAIT_S = 0.1


@dataclass(frozen=True)
class CrashPoints:
    """The points of one run; ``at`` is the one to die at, if any. Travels to workers.

    With ``mark`` the run makes that file at its point and waits there to be killed.
    """

    at: str | None = None
    driver: int = 0
    mark: str = ""

    @classmethod
    def of(cls, at: str | None) -> CrashPoints:
        """Points of a run in this process, of ``POINT`` or ``POINT@FILE``.

        Raises
        ------
        ConfigurationError
            If there is no such point, or it is within a write, where nothing can stand still.

        Examples
        --------
        >>> CrashPoints.of("tiles.before_read@/tmp/reached").mark
        '/tmp/reached'
        """
        point, _, mark = (at or "").partition("@")
        allowed = [known for known in POINTS if not (mark and known in IN_WRITES)]
        if at is not None and point not in allowed:
            raise ConfigurationError(
                "crash_at names no crash point", found=at, remedy=f"one of {', '.join(allowed)}"
            )
        return cls(point or None, os.getpid(), mark)

    def reach(self, point: str) -> None:
        """Die here if this is the point, or wait here to be killed."""
        if point != self.at:
            return
        if self.mark:
            self._wait_to_be_killed()
        if os.getpgid(self.driver) == self.driver:
            os.killpg(self.driver, signal.SIGKILL)
        os.kill(self.driver, signal.SIGKILL)
        os._exit(137)

    def _wait_to_be_killed(self) -> NoReturn:
        """Stand still, but not longer than who began this process: nobody else ends a worker."""
        parent = os.getppid()
        Path(self.mark).touch()
        while os.getppid() == parent:
            time.sleep(WAIT_S)
        os._exit(137)

    @contextmanager
    def writing(self, point: str, folder: Path | None) -> Iterator[None]:
        """Around one write into ``folder``: die as soon as its first data file is there.

        The commit is not made yet then. A write too quick for the watch dies at its end.
        """
        if point != self.at or folder is None:
            yield
            return
        watch = threading.Thread(target=self._watch, args=(point, folder), daemon=True)
        watch.start()
        yield
        self.reach(point)

    def _watch(self, point: str, folder: Path) -> None:
        before = set(folder.rglob("*.parquet"))
        while set(folder.rglob("*.parquet")) <= before:
            time.sleep(POLL_S)
        self.reach(point)
