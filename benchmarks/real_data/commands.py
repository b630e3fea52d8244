"""The platform's commands as a user would type them, and the service, ended with the block."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.errors import PlatformError
from orchestration.ending import end_group
from orchestration.processes import Child, Processes, answers, free_port
from stores.layout import Layout

PROJECT = Path(__file__).parents[2]
END_WITHIN_S = 15.0
READY_WITHIN_S = 120.0


def command_failed(words: Sequence[str], code: int) -> PlatformError:
    """A command of the platform ended with another code than 0; it has said why by then."""
    return PlatformError(
        f"`throughline {' '.join(words)}` ended with {code}", remedy="it says why above"
    )


@dataclass(frozen=True)
class Platform:
    """One installation: all state below ``home``."""

    home: Path

    def run(self, *words: str) -> str:
        """Run ``throughline WORDS``, its lines printed as they come; the last line of a step.

        Raises
        ------
        PlatformError
            If it ends with another code than 0.
        """
        print(f"\n$ throughline {' '.join(words)}", flush=True)
        process = subprocess.Popen(
            self._command(words),
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        said = ""
        try:
            for line in process.stdout or ():
                if line.strip() and not line.startswith("next:"):
                    print(f"  {line.rstrip()}", flush=True)
                    said = line.strip()
            code = process.wait()
        finally:
            if process.poll() is None:
                end_group(process, within_s=END_WITHIN_S)
        if code != 0:
            raise command_failed(words, code)
        return said

    @contextmanager
    def service(self) -> Iterator[str]:
        """Address of the service, started by ``throughline up --online-only``."""
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        words = ("up", "--online-only", "--port", str(port))
        print(f"\n$ throughline {' '.join(words)}", flush=True)
        child = Child("up", self._command(words), address, lambda: answers(f"{address}/readyz"))
        with Processes(os.environ, Layout(self.home).logs, PROJECT) as processes:
            processes.start(child)
            ready_s = processes.wait_ready(child, within_s=READY_WITHIN_S)
            print(f"  {ready_s:5.1f} s  ready at {address}", flush=True)
            yield address
        print("  stopped", flush=True)

    def _command(self, words: Sequence[str]) -> tuple[str, ...]:
        first, *rest = words
        return (sys.executable, "-m", "orchestration.cli", first, "--home", str(self.home), *rest)


@dataclass
class Stopwatch:
    """Seconds of a block: ``with Stopwatch() as watch: ...``, then ``watch.seconds``."""

    seconds: float = 0.0

    def __enter__(self) -> Stopwatch:
        self.seconds = -time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter()
