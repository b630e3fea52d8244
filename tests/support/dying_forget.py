"""Forget somebody in a process that is killed at a given sync to the disk. Run as a program."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

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


def main(home: str, person: str, sync: str) -> int:
    """Exit code of the command, if it lives."""
    import argparse

    os.fsync = dying_at(int(sync))  # type: ignore[assignment]  # one argument, as it is called
    parser = argparse.ArgumentParser()
    forget.add_arguments(parser)
    words = ["--entity", f"card_id={person}", "--why", "asked in a letter", "--who", "Ada"]
    settings = Settings(home=Path(home), environment="test")
    shell = Shell(settings, clock=FixedClock(NOW_MS))
    return forget.run(parser.parse_args(words), shell)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
