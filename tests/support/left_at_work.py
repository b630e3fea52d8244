"""What tests left at work in their process: a thread that spins slows every test after it."""

from __future__ import annotations

import sys
import threading
import time
import traceback

RESTED_S = 0.2
"""So long the process is looked at while nobody asks anything of it."""

MOST_S = 0.1
"""Processor time that a process at rest may take in it: libraries' threads wake now and then."""


def left_at_work() -> list[str]:
    """Where each other thread stands, if this process is busy though its main thread sleeps."""
    before_s = time.process_time()
    time.sleep(RESTED_S)
    if time.process_time() - before_s < MOST_S:
        return []
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return [
        f"{names.get(ident, 'a thread')}: {traceback.format_stack(frame)[-1].strip()}"
        for ident, frame in sys._current_frames().items()
        if ident != threading.get_ident()
    ]
