"""Scoring off the loop: a model that takes long must hold up nobody but who asked it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from core.ports import ModelRunner

SLOW_MS = 2.0
"""From so long a row on. A hop to a thread and back costs a tenth of it under load."""


class ThreadedScorer:
    """Scores in one thread of its own; ONNX Runtime lets the loop run meanwhile."""

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="slow-model")

    async def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores, shape ``(n,)``."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._runner.score, vectors)
