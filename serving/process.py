"""What folder and controller share as processes: settings, signals, one line of reports."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from core.clock import Clock, SystemClock
from core.errors import PlatformError
from serving.settings import Settings, read_settings

Told = Callable[[str], None]
Stop = Callable[[float], bool]
"""Waits up to so many seconds; True when the process was told to end."""

Work = Callable[[Settings, Clock, Stop, Told], None]


def run_process(name: str, work: Work) -> int:
    """Do ``work`` until SIGTERM or SIGINT; the exit status."""
    stop, told = stop_on_signals(), teller(name)
    try:
        settings = read_settings(os.environ)  # noqa: TID251 - a process's main is a root
        work(settings, SystemClock(), stop, told)
    except PlatformError as error:
        told(str(error))
        return 1
    return 0


def stop_on_signals() -> Stop:
    """Take SIGTERM and SIGINT for an order to end; how to wait for one.

    Through a pipe and not a `threading.Event`: its lock, held by a wait that a signal
    interrupts, would make the handler wait for itself for ever.
    """
    ordered, order = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def handler(_signal: int, _frame: FrameType | None) -> None:
        with suppress(BlockingIOError):  # full of orders already
            os.write(order, b".")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)
    poll = select.poll()
    poll.register(ordered, select.POLLIN)

    def stop(seconds: float) -> bool:
        return bool(poll.poll(seconds * 1_000))

    return stop


def teller(name: str) -> Told:
    """Writes sentences to standard error, each with the process's name before it."""

    def told(sentence: str) -> None:
        sys.stderr.write(f"{name}: {sentence}\n")
        sys.stderr.flush()

    return told


@contextmanager
def only_one(path: Path, stop: Stop) -> Iterator[bool]:
    """Hold a lock while others wait for it; False when told to end before it was free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if stop(0.2):
                    yield False
                    return
            else:
                yield True
                return
