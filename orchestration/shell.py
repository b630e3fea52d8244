"""What a command is given: settings, the environment to hand on, a clock, a way to speak."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from core.clock import Clock, SystemClock
from orchestration.settings import Settings

COUNT_EVERY_S = 1.0
QUIET_S = 2.0
"""Who waits longer than that without a word wonders whether anything happens."""
ERASE_LINE = "\r\x1b[2K"
PROJECT = Path(__file__).resolve().parents[1]


def _nothing() -> None:
    """Nothing counts yet."""


@dataclass
class Shell:
    """One invocation of the command line. Built in ``cli.main``; tests build their own."""

    settings: Settings
    environment: Mapping[str, str] = field(default_factory=dict)
    clock: Clock = field(default_factory=SystemClock)
    out: TextIO = field(default_factory=lambda: sys.stdout)
    _hush: Callable[[], None] = field(default_factory=lambda: _nothing, init=False, repr=False)

    def say(self, text: str = "") -> None:
        """One line to the reader, now."""
        self._hush()
        self.out.write(f"{text}\n")
        self.out.flush()

    def next(self, text: str) -> None:
        """What to do after this command."""
        self.say(f"\nnext: {text}")

    def elapsed(self) -> Callable[[], float]:
        """Seconds since now, asked later."""
        began_s = time.monotonic()
        return lambda: time.monotonic() - began_s

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """On a terminal, seconds are counted from the third on, until something is said."""
        if not self.out.isatty():
            yield
            return
        with _counting(self.out, "", self.elapsed(), after_s=QUIET_S) as self._hush:
            yield

    @contextmanager
    def step(self, title: str) -> Iterator["Step"]:
        """A line when work begins and one, with its time, when it has ended.

        On a terminal the first line counts the seconds and the second takes its place.
        """
        step = Step()
        elapsed = self.elapsed()
        self._hush()
        if self.out.isatty():
            with _counting(self.out, title, elapsed):
                yield step
        else:
            self.say(f"    ...    {title}")
            yield step
        detail = f": {step.detail}" if step.detail else ""
        self.say(f"  {elapsed():5.1f} s  {title}{detail}")


@dataclass
class Step:
    """What a step says of itself when it ends."""

    detail: str = ""


@contextmanager
def _counting(
    out: TextIO, title: str, elapsed: Callable[[], float], *, after_s: float = 0.0
) -> Iterator[Callable[[], None]]:
    """Seconds on the terminal's current line while the block runs; the line is empty after.

    The block may end it early, by what it is given.
    """
    is_over = threading.Event()

    def count() -> None:
        if is_over.wait(after_s):
            return
        while True:
            out.write(f"{ERASE_LINE}  {elapsed():5.0f} s  {title or 'at work'} ...")
            out.flush()
            if is_over.wait(COUNT_EVERY_S):
                out.write(ERASE_LINE)
                out.flush()
                return

    counter = threading.Thread(target=count, daemon=True)
    counter.start()

    def end() -> None:
        is_over.set()
        counter.join()

    try:
        yield end
    finally:
        end()


def table(rows: Sequence[tuple[str, ...]], *, indent: int = 2) -> str:
    r"""Rows as columns, each as wide as its widest cell.

    Examples
    --------
    >>> table([("a", "1"), ("long", "2")], indent=0)
    'a     1\nlong  2'
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(" " * indent + line for line in lines)
