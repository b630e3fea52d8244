"""The engine with fakes around it: no server, no disk but the shelf."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from bundles import USE_CASE, serve, shelve
from memory_store import MemoryOnlineStore
from numpy.typing import NDArray
from payments import NOW_MS

from core.breaker import Breaker, State
from core.clock import FixedClock
from core.errors import NotReadyError
from core.packed_records import whole_record
from serving.background import Background
from serving.engine.engine import Engine
from serving.engine.explaining import Explaining, Explanation
from serving.engine.passes import Budgets, Passes
from serving.engine.splitting import Splitting
from serving.guard import Guard, GuardedReader
from serving.models.releases import LoadedRelease, Loader, Releases
from serving.models.runtime import OnnxSession
from serving.models.trials import Trials
from serving.models.warming import Warming
from serving.models.watcher import ShelfWatcher
from serving.ports import DirectReader, Reader
from serving.records.recording import Recording
from serving.rollouts.counting import Counting
from serving.rollouts.shadows import Scored, Scores, Shadows, Vectors
from stores.keys.signing import KeyRing
from stores.layout import Layout
from stores.masking import Mask
from stores.records.frames import Frames
from stores.records.segments import frames_of
from stores.shelf.shelf import Shelf


async def turns() -> None:
    """Turns of the loop, enough for all that waits for nothing else: time says less on a busy
    machine.
    """
    for _ in range(1_000):
        await asyncio.sleep(0)


class MemoryRecords:
    """Records in a list; ids are their places."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []

    def append_frames(self, use_case: str, frames: Frames) -> list[str]:
        payloads = [payload for _, payload in frames_of(bytes(frames.content))]
        ids = [f"{use_case}-{len(self.payloads) + n}" for n in range(len(payloads))]
        self.payloads.extend(payloads)
        return ids

    def read(self, record_id: str) -> bytes:
        try:
            return self.payloads[int(record_id.rpartition("-")[2])]
        except (IndexError, ValueError):
            raise NotReadyError("no such record", code="unknown_record") from None

    def last(self) -> dict[str, Any]:
        return whole_record(self.payloads[-1])


class SilentObserver:
    """Counts what the engine reports."""

    def __init__(self) -> None:
        self.predictions: list[tuple[str, str, str, str]] = []
        self.stages: list[str] = []
        self.contracts: list[int] = []

    def spoken(self, use_case: str, major: int) -> None:
        self.contracts.append(major)

    def predicted(
        self, use_case: str, channel: str, decision: str, *, degraded: str, n_points: int
    ) -> None:
        self.predictions += [(use_case, channel, decision, degraded)] * n_points

    def stage(self, use_case: str, stage: str, seconds: float) -> None:
        self.stages.append(stage)


class KnownExplainer:
    """Explains every vector by the same contributions."""

    def __init__(self, status: str = "exact") -> None:
        self.status = status
        self.asked: list[int] = []

    async def explain(
        self, release: LoadedRelease, vectors: Sequence[NDArray[np.float32]], *, budget_ms: int
    ) -> list[Explanation]:
        self.asked.append(len(vectors))
        if self.status != "exact":
            return [Explanation(self.status)] * len(vectors)  # type: ignore[arg-type]
        names = release.plan.vector
        return [Explanation("exact", -4.0, names, tuple(float(i) for i in range(len(names))))
                for _ in vectors]  # fmt: skip


class InProcessScores:
    """Scores a shadow here, for tests that look at what becomes of its scores."""

    async def score(self, release: LoadedRelease, passes: Sequence[Vectors]) -> list[Scored]:
        found = [release.runner.score(np.array(vectors, dtype=np.float32)) for vectors in passes]
        return [Scored([float(s) if np.isfinite(s) else None for s in each], 0.1) for each in found]

    async def close(self) -> None:
        """Nothing was started."""


class Bench:
    """Everything a test of the engine needs, on a shelf with one toy release."""

    def __init__(
        self,
        layout: Layout,
        *,
        reader: Reader | None = None,
        explaining: Explaining | None = None,
        is_any_time: bool = False,
        read_budget_ms: int = 1_000,
        patience_ms: int = 1_000,
        shadow_scores: Scores | None = None,
        trials: Trials | None = None,
        budget_bytes: int = 0,
        **changes: Any,
    ) -> None:
        self.layout = layout
        self.clock = FixedClock(NOW_MS)
        self.store = MemoryOnlineStore()
        self.records = MemoryRecords()
        self.observer = SilentObserver()
        self.releases = Releases()
        self.told: list[str] = []
        self.changes: list[State] = []
        self.shelf = Shelf(layout.shelf)
        self.loader = Loader(self.shelf, self.keys, OnnxSession, is_any_time=is_any_time)
        self.trials, self.budget_bytes = trials, budget_bytes
        self.watcher = self.new_watcher()
        use_case = changes.get("use_case", USE_CASE)
        serve(layout, shelve(layout, **changes), counter=1, use_case=use_case)
        assert self.watcher.look()
        self.breaker = Breaker(most_failures=10, rest_s=1.0)
        self.guard = Guard(
            "reading online values",
            self.breaker,
            self.clock,
            budget_ms=read_budget_ms,
            told=self.told.append,
            changed=self.changes.append,
        )
        self.counting = Counting()
        self.shadows = Shadows(
            self.releases,
            self.counting,
            reader or DirectReader(self.store),
            shadow_scores or InProcessScores(),
            self.clock,
            gather_s=0.0,
        )
        passes = Passes(
            reader=GuardedReader(reader or DirectReader(self.store), self.guard),
            recording=Recording(self.records, Mask(bytes(32))),
            explaining=explaining or KnownExplainer(),
            clock=self.clock,
            observer=self.observer,
            shadows=self.shadows,
            budgets=Budgets(),
        )
        self.engine = Engine(
            releases=self.releases,
            passes=passes,
            splitting=Splitting(self.counting, self.clock, patience_ms=patience_ms),
            clock=self.clock,
            observer=self.observer,
        )

    @asynccontextmanager
    async def comparing(self) -> AsyncIterator[None]:
        """Meanwhile what shadows score is compared."""
        following = asyncio.create_task(self.shadows.follow())
        try:
            yield
        finally:
            following.cancel()

    async def compare(self) -> None:
        """Compare what waits for its turn."""
        async with self.comparing():
            await turns()

    def keys(self) -> KeyRing:
        return KeyRing.from_directory(self.layout.keys)

    def new_watcher(self) -> ShelfWatcher:
        return ShelfWatcher(
            self.shelf.board,
            self.keys,
            Warming(
                self.loader,
                self.releases,
                Background(self.clock, patience_s=60.0),
                self.trials,
                budget_bytes=self.budget_bytes,
                clock=self.clock,
                told=self.told.append,
            ),
            self.releases,
            clock=self.clock,
            counter_path=self.layout.state / "channels_followed",
            told=self.told.append,
        )
