"""Named points at which a job can be made to die, for the proof that nothing is lost.

A job takes ``crash_at`` among its arguments and reaches its points in order. At the named
one the process is killed as ``kill -9`` would: no handler, no flush, no finally. Started as
the leader of its own process group, it takes its JVM with it.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from core.errors import ConfigurationError

POINTS = (
    "ingest.before_read",
    "ingest.in_worker",
    "ingest.before_rejects",
    "ingest.after_rejects",
    "ingest.before_merge",
    "ingest.after_merge",
    "ingest.before_report",
    "tiles.before_read",
    "tiles.in_worker",
    "tiles.before_replace",
    "tiles.after_replace",
    "training_set.before_points",
    "training_set.in_worker",
    "training_set.after_staging",
    "training_set.before_write",
    "training_set.after_write",
    "scores.before_points",
    "scores.in_kernel",
    "scores.in_worker",
    "scores.after_staging",
    "scores.after_audit",
    "scores.after_publish",
)


@dataclass(frozen=True)
class CrashPoints:
    """The points of one run; ``at`` is the one to die at, if any. Travels to workers."""

    at: str | None = None
    driver: int = 0

    @classmethod
    def of(cls, at: str | None) -> CrashPoints:
        """Points of a run in this process; ConfigurationError for a name that is none."""
        if at is not None and at not in POINTS:
            raise ConfigurationError(
                "crash_at names no crash point", found=at, remedy=f"one of {', '.join(POINTS)}"
            )
        return cls(at, os.getpid())

    def reach(self, point: str) -> None:
        """Die here if this is the point."""
        if point != self.at:
            return
        if os.getpgid(self.driver) == self.driver:
            os.killpg(self.driver, signal.SIGKILL)
        os.kill(self.driver, signal.SIGKILL)
        os._exit(137)
