"""What a child of the service gives up before it opens a file that somebody else made.

A model or an explainer may hang, crash or ask for all memory there is. It does so in a process of
its own, which lets those who answer go first, ends with its parent, and may take so much.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import time
from contextlib import suppress
from pathlib import Path

LARGEST_BYTES = 4 << 30
"""Address space of a child: xgboost and ONNX Runtime reserve one to two GiB before they begin."""
LOWEST = 19
"""A shadow's priority, and what its session weighs."""

SLICE_NS = 100_000
"""The shortest there is."""

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_SESSION_WEIGHT = Path("/proc/self/autogroup")
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_SCHED_ATTR = "=IIQiIQQQ"
"""Its size, policy, flags, nice, priority of real-time classes, slice in ns, two for deadlines."""
_TRIES, _TRY_EVERY_S = 50, 0.1
"""The kernel lets users weigh a session ten times a second, all of them together."""


def yield_to_all(*, nice: int) -> None:
    """Let others go first, and have the kernel end this process with its parent, hanging or not."""
    end_with_parent()
    os.nice(nice)


def take_what_is_left() -> None:
    """Run when nobody else on the machine would, and end with the parent.

    A priority is not enough. Where `sched_autogroup` is on, Linux shares its processors among
    sessions first, each as much as any other, whatever the priorities in them. So this process
    leads a session of its own, and that session weighs least. And whoever has a processor keeps it
    for its slice, 1 to 3 ms, though another who comes before it has woken up; so it asks for short
    ones.
    """
    end_with_parent()
    with suppress(PermissionError):  # it leads its session, or its group in another's
        os.setsid()
    os.nice(LOWEST)
    _take_short_slices()
    if os.getsid(0) == os.getpid():  # never that of the service
        _weigh_least()


def _take_short_slices() -> None:
    """Ask to be interrupted soon; Linux before 6.12 takes no notice."""
    number = _SCHED_SETATTR.get(platform.machine())
    if number is not None:
        size = struct.calcsize(_SCHED_ATTR)
        asked = struct.pack(_SCHED_ATTR, size, os.SCHED_OTHER, 0, LOWEST, 0, SLICE_NS, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, asked, 0)


def _weigh_least() -> None:
    """Make the session weigh least; nothing where the kernel has no such weight."""
    for _ in range(_TRIES):
        try:
            _SESSION_WEIGHT.write_text(str(LOWEST))
        except BlockingIOError:
            time.sleep(_TRY_EVERY_S)
        except OSError:
            return
        else:
            return


def end_with_parent() -> None:
    """Have the kernel end this process with its parent, hanging or not."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def be_called(name: str) -> None:
    """Show a name of up to 15 bytes in `ps` and `top`: a fork would show its parent's.

    Examples
    --------
    >>> before = Path("/proc/self/comm").read_text().strip()
    >>> be_called("scorer")
    >>> Path("/proc/self/comm").read_text().strip()
    'scorer'
    >>> be_called(before)
    """
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode())


def limit_oneself(*, cpu_s: int | None = None, may_write: bool = True) -> None:
    """Give up much memory and a core dump; more than ``cpu_s`` of the processor, files to write.

    A limit that is lower already stays. Whoever exceeds memory gets MemoryError or what a library
    makes of it; whoever exceeds the processor's time is ended by the kernel. Without ``may_write``
    no file grows, the one of standard error included.
    """
    limits = {resource.RLIMIT_AS: LARGEST_BYTES, resource.RLIMIT_CORE: 0}
    if cpu_s is not None:
        limits[resource.RLIMIT_CPU] = cpu_s
    if not may_write:
        limits[resource.RLIMIT_FSIZE] = 0
    for what, limit in limits.items():
        _, most = resource.getrlimit(what)
        resource.setrlimit(what, (limit, limit) if most < 0 else (min(limit, most), most))
