"""Forget somebody in a process that is killed at a given write. Run as a program."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from core.clock import FixedClock
from orchestration.commands import forget
from orchestration.settings import Settings
from orchestration.shell import Shell

PROJECT = Path(__file__).resolve().parents[2]
NOW_MS = 1_800_000_000_000


def dying_at(sync: int) -> Callable[[int], None]:
    """``os.fsync`` that kills this process when it is called for the ``sync``-th time."""
    really, calls = os.fsync, 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == sync:
            os.kill(os.getpid(), signal.SIGKILL)
        really(descriptor)

    return fsync


def die_before(name: str, number: int) -> None:
    """Kill this process before a library's function of that name is called so many times.

    ``put`` and ``delete`` are those of object stores.
    """
    calls = 0

    def seen(frame: FrameType, event: str, called: Any) -> None:
        nonlocal calls
        del frame
        if event == "c_call" and called.__name__ == name:
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(seen)


def main(home: str, person: str, point: str, lake: str = "", cold: str = "") -> int:
    """Exit code of the command, if it lives. ``point`` is ``fsync:4``, ``put:2``, ``delete:3``."""
    import argparse

    name, _, number = point.partition(":")
    if name == "fsync":
        os.fsync = dying_at(int(number))  # type: ignore[assignment]  # one argument, as it is called
    else:
        die_before(name, int(number))
    parser = argparse.ArgumentParser()
    forget.add_arguments(parser)
    words = ["--entity", f"card_id={person}", "--why", "asked in a letter", "--who", "Ada"]
    settings = Settings(home=Path(home), environment="test", lake_uri=lake, cold_uri=cold)
    shell = Shell(settings, clock=FixedClock(NOW_MS))
    return forget.run(parser.parse_args(words), shell)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
