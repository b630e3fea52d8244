"""What the engine asks of the outside beyond ``core.ports``, as awaitable protocols."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.ports import ModelRunner, OnlineStore
from stores.records.frames import Frames


class Reader(Protocol):
    """Online values by key, without holding up the loop."""

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of ``keys``; None where there is none."""
        ...

    def close(self) -> None:
        """Give back what only the reader holds; the store closes itself."""
        ...


class Scorer(Protocol):
    """A model that may wait for company before it scores; who asks cannot tell."""

    async def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores, shape ``(n,)``, for vectors of shape ``(n, d)``."""
        ...


class Records(Protocol):
    """Prediction records of all use cases."""

    def append_frames(self, use_case: str, frames: Frames) -> list[str]:
        """Keep frames with one write; their ids."""
        ...

    def read(self, record_id: str) -> bytes:
        """Payload of a record; NotReadyError when there is none."""
        ...


class Observer(Protocol):
    """Where the engine reports what it did: counters, never entities."""

    def predicted(
        self, use_case: str, channel: str, decision: str, *, degraded: str, n_points: int
    ) -> None:
        """Count answered points."""
        ...

    def spoken(self, use_case: str, major: int) -> None:
        """Count one request, by the contract that it speaks."""
        ...

    def stage(self, use_case: str, stage: str, seconds: float) -> None:
        """Time one stage of one request."""
        ...


class _Unseen:
    """Counts nothing."""

    def predicted(
        self, use_case: str, channel: str, decision: str, *, degraded: str, n_points: int
    ) -> None:
        """Nothing."""

    def spoken(self, use_case: str, major: int) -> None:
        """Nothing."""

    def stage(self, use_case: str, stage: str, seconds: float) -> None:
        """Nothing."""


UNSEEN: Observer = _Unseen()
"""Who is told of synthetic requests, which no statistic counts."""


class DirectReader:
    """Reads on the loop: for a store that answers from this process's memory or disk."""

    def __init__(self, store: OnlineStore) -> None:
        self._store = store

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of ``keys``."""
        return self._store.read(keys)

    def close(self) -> None:
        """Nothing of its own."""


class ThreadedReader:
    """Reads in a thread: for a store across a network, whose silence must not stop the loop."""

    def __init__(self, store: OnlineStore) -> None:
        self._store = store

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values in the order of ``keys``."""
        return await asyncio.to_thread(self._store.read, keys)

    def close(self) -> None:
        """Nothing of its own."""


class DirectScorer:
    """Scores on the loop: for models that take microseconds."""

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner

    async def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores, shape ``(n,)``."""
        return self._runner.score(vectors)


Json = dict[str, Any]
