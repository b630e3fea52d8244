"""Processes that score for shadows: seen, and killed again and again, as a crash would."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from serving.rollouts.shadow_keeper import SCORER_NAME

KILL_EVERY_S = 0.3


class Killer(threading.Thread):
    """Kills every process that scores for a shadow under ``root``, again and again.

    Examples
    --------
    >>> with Killer(os.getpid()) as nobody_is_there:
    ...     pass
    >>> nobody_is_there.kills
    0
    """

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self._root = root
        self._others: set[int] = set()
        self._is_over = threading.Event()
        self.kills = 0

    def __enter__(self) -> Killer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join(timeout=10)

    def run(self) -> None:
        """Look, and kill, until told to stop."""
        while not self._is_over.wait(KILL_EVERY_S):
            self._look()

    def _look(self) -> None:
        """Processes that were looked at once are not read again: reading costs those who serve."""
        ours = {self._root}
        for entry in _processes():
            if entry in self._others:
                continue
            try:
                name, _, rest = Path(f"/proc/{entry}/stat").read_text().rpartition(")")
            except OSError:
                continue
            fields = rest.split()
            if int(fields[1]) not in ours and entry not in ours:
                self._others.add(entry)
                continue
            ours.add(entry)
            if name.endswith(f"({SCORER_NAME}") and fields[0] != "Z":
                self._kill(entry)
                self._others.add(entry)  # on a busy machine it takes its time to be gone

    def _kill(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.kills += 1


def scorers(root: int) -> set[int]:
    """Processes that score for a shadow under ``root`` now.

    Examples
    --------
    >>> scorers(os.getpid())
    set()
    """
    ours, found = {root}, set()
    for entry in _processes():
        try:
            name, _, rest = Path(f"/proc/{entry}/stat").read_text().rpartition(")")
        except OSError:
            continue
        state, parent, *_ = rest.split()
        if int(parent) in ours:
            ours.add(entry)
            if name.endswith(f"({SCORER_NAME}") and state != "Z":
                found.add(entry)
    return found


def _processes() -> list[int]:
    """All there are, parents before most of their children."""
    return sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
