"""How much time a process took for itself: to wait for a processor is nobody's hanging.

A process of the lowest priority may wait for seconds on a busy machine and be as quick as ever. By
the clock it hangs; by its processor's time one that sleeps for ever never does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from core.clock import Clock

_RUNNABLE = "R"
_TICKS_A_S = os.sysconf("SC_CLK_TCK")


class Seen(NamedTuple):
    """A process at one look: its state as `ps` shows it, and the processor's time it has had."""

    state: str
    worked_s: float


def seen(pid: int) -> Seen:
    """Look at a process.

    Raises
    ------
    OSError
        If there is none.

    Examples
    --------
    >>> seen(os.getpid()).state
    'R'
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Seen(fields[0], (int(fields[11]) + int(fields[12])) / _TICKS_A_S)


class OwnTime:
    """Seconds that a process spent since this was made, as often as it is asked.

    Of the time between two looks that of the processor counts where it could have run at the
    second, all of it where it slept, waited for a disk or stood still.
    """

    def __init__(self, pid: int, clock: Clock, *, look: Callable[[int], Seen] = seen) -> None:
        self._pid, self._clock, self._look = pid, clock, look
        self._looked_s, self._spent_s = clock.monotonic_s(), 0.0
        self._worked_s = self._seen().worked_s

    def spent_s(self) -> float:
        """Seconds so far."""
        now_s, found = self._clock.monotonic_s(), self._seen()
        passed_s, worked_s = now_s - self._looked_s, found.worked_s - self._worked_s
        self._spent_s += min(passed_s, worked_s) if found.state == _RUNNABLE else passed_s
        self._looked_s, self._worked_s = now_s, found.worked_s
        return self._spent_s

    def _seen(self) -> Seen:
        try:
            return self._look(self._pid)
        except OSError:  # without such files the clock must do
            return Seen("", 0.0)
