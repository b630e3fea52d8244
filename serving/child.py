"""What a child of the service gives up before it opens a file that somebody else made.

A model or an explainer may hang, crash or ask for all memory there is. It does so in a process of
its own, which lets those who answer go first, ends with its parent, and may take so much.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal

LARGEST_BYTES = 4 << 30
"""Address space of a child: xgboost and ONNX Runtime reserve one to two GiB before they begin."""
LOWEST = 19
"""Nobody's last priority but a shadow's."""

_PR_SET_PDEATHSIG = 1


def yield_to_all(*, nice: int = LOWEST) -> None:
    """Let others go first, and have the kernel end this process with its parent, hanging or not."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(nice)


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
