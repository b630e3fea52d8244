"""Service, folder and controller as real processes, each ended with the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestration.processes import answers, free_port
from stores.layout import Layout

ROOT = Path(__file__).parents[2]
# On a busy machine answers would be degraded for being late, and releases not served for loading
# slowly; tests of lateness say their own.
UNHURRIED = {
    "ENGINE__READ_BUDGET_MS": 10_000,
    "ENGINE__CHALLENGER_PATIENCE_MS": 20_000,
    "CONTROLLER__TRIAL_MS": 60_000,
}
READY_WITHIN_S = 120.0  # a machine that others keep busy starts slowly


class OnlineProcess:
    """One process of the online side."""

    def __init__(self, module: str, layout: Layout, port: int = 0, **settings: Any) -> None:
        self.module = module
        self.url = f"http://127.0.0.1:{port}"
        ours = os.environ
        clean = {k: v for k, v in ours.items() if not k.startswith("THROUGHLINE_")}
        given = {"HOME": layout.root, "HTTP__PORT": port, **UNHURRIED, **settings}
        variables = {f"THROUGHLINE_{name}": str(value) for name, value in given.items()}
        layout.state.mkdir(parents=True, exist_ok=True)
        self.log = layout.state / f"{module}-{port}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=ROOT,
                env=clean | variables | {"OMP_NUM_THREADS": "1"},
                stderr=log,
                stdout=log,
            )

    def wait_until(self, is_so: Callable[[], Any], within_s: float = READY_WITHIN_S) -> Any:
        """What ``is_so`` returns, once it is true; fails when the process ends before."""
        deadline = time.monotonic() + within_s
        while True:
            found = is_so()
            if found:
                return found
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.module} did not come so far:\n{self.log.read_text()}")
            time.sleep(0.01)

    def wait_until_ready(self) -> OnlineProcess:
        """This process, once it answers that it is ready."""
        self.wait_until(lambda: answers(f"{self.url}/readyz", within_s=20))
        return self

    def kill(self) -> None:
        """End it as a crash would: no handler runs."""
        self.process.kill()
        self.process.wait(timeout=60)

    def end(self) -> int:
        """Ask it to end; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@contextmanager
def service(layout: Layout, **settings: Any) -> Iterator[OnlineProcess]:
    """A service that is ready."""
    started = OnlineProcess("serving.main", layout, free_port(), **settings)
    try:
        yield started.wait_until_ready()
    finally:
        started.end()


@contextmanager
def folder(layout: Layout, **settings: Any) -> Iterator[OnlineProcess]:
    """A folder; whether it folds already is for the test to see."""
    started = OnlineProcess("serving.folder", layout, **settings)
    try:
        yield started
    finally:
        started.end()


@contextmanager
def controller(layout: Layout, **settings: Any) -> Iterator[OnlineProcess]:
    """A controller."""
    started = OnlineProcess("serving.controller", layout, **settings)
    try:
        yield started
    finally:
        started.end()
