"""How processes end: a signal heard as an interrupt, a child that goes when we go, a whole group.

Nothing heavy is imported here: what only waits for a child, as the command line does, is to
start and end at once.
"""

import ctypes
import os
import signal
import subprocess
from contextlib import suppress
from types import FrameType
from typing import Any

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def interrupt_on(*signals: signal.Signals) -> None:
    """From now on have each of these signals raise KeyboardInterrupt, so that work ends in order.

    SIGINT too must be named to be heard: a shell's background job ignores it.
    """
    for number in signals:
        signal.signal(number, _interrupt)


def die_with_parent() -> None:
    """In a child before it becomes its program: have the kernel end it when we are gone."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def end_group(process: "subprocess.Popen[Any]", *, within_s: float) -> None:
    """Ask the process's group to end; end what has not in time, or outlives its leader."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(within_s)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
