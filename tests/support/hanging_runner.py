"""A model that hangs in its thread, until a test lets it go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from core.ports import ModelRunner


class HangingRunner:
    """Scores by another runner once ``go_on`` is set."""

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner
        self.go_on = threading.Event()
        self.sizes: list[int] = []

    def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores, shape ``(n,)``, some time."""
        self.sizes.append(len(vectors))
        self.go_on.wait()
        return self._runner.score(vectors)


@contextmanager
def hung(runner: ModelRunner) -> Iterator[HangingRunner]:
    """A runner that hangs for as long."""
    hanging = HangingRunner(runner)
    try:
        yield hanging
    finally:
        hanging.go_on.set()
