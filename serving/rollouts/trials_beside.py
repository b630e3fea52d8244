"""Trials beside the controller's work: a model that hangs holds up no rollback, and no gate."""

from __future__ import annotations

from pathlib import Path

from serving.background import Background
from serving.models.trials import Trials

WAIT_S = 0.25
"""How long whoever asks waits for the end of a trial; most end sooner than the next try."""


class TrialsBeside:
    """Tries releases in threads: ask again until it is known what came of it."""

    def __init__(self, trials: Trials, background: Background) -> None:
        self._trials = trials
        self._background = background

    def measured_bytes(self, folder: Path, digest: str) -> int:
        """Memory that a release takes.

        Raises
        ------
        PendingError
            If its trial goes on.
        IntegrityError
            As `Trials.measured_bytes`.
        """
        known = self._trials.known_bytes(digest)
        if known is not None:
            return known
        return self._background.result(
            digest, lambda: self._trials.measured_bytes(folder, digest), wait_s=WAIT_S
        )
