"""What this worker counts of rollouts and shadows, and how others come to see it.

Requests add to counters in memory. Twice a second, away from the requests, all of them are
published whole, and every ten seconds those that did not change; so a store that was down or
emptied has everything of this worker again. What entities an experiment has met is told apart by
the store, once for all workers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal

from core.clock import Clock
from core.errors import PlatformError
from core.rollout.comparison import ComparisonCount
from core.rollout.counting import ArmCount
from core.rollout.published import StageCounts, WorkerCounts
from serving.process import Told
from serving.telemetry.log_lines import Trouble
from stores.shared_counts import SharedCounts

Arm = Literal["champion", "challenger"]
PUBLISH_EVERY_S = 0.5
ANEW_EVERY = 20
"""Publications until all is published again, changed or not: a store may have been emptied."""

KNOWN_ENTITIES = 200_000
"""Entities a worker remembers it has told of; it forgets them all and tells again beyond."""

WAITING_ENTITIES = 100_000
"""Entities kept for a store that is down. Beyond it new ones of either arm are not counted."""

_POINTS = 2**53
_POINT_BYTES = 7


@dataclass
class StageCount:
    """Both arms in one stage."""

    champion: ArmCount = field(default_factory=ArmCount)
    challenger: ArmCount = field(default_factory=ArmCount)

    def arm(self, arm: Arm) -> ArmCount:
        """Counters of one arm."""
        return self.challenger if arm == "challenger" else self.champion

    def counts(self) -> StageCounts:
        """What was counted so far."""
        return StageCounts(champion=self.champion.counters(), challenger=self.challenger.counters())


@dataclass
class Experiment:
    """What this worker knows of one experiment."""

    stages: dict[int, StageCount] = field(default_factory=dict)
    comparison: ComparisonCount | None = None
    known: set[bytes] = field(default_factory=set)
    waiting: dict[bytes, ArmCount] = field(default_factory=dict)

    def stage(self, stage: int) -> StageCount:
        """Counters of one stage."""
        found = self.stages.get(stage)
        if found is None:
            found = self.stages[stage] = StageCount()
        return found

    def met(self, point: float, arm: ArmCount) -> None:
        """Note that an entity, known by its place in the experiment, was met by an arm."""
        entity = int(point * _POINTS).to_bytes(_POINT_BYTES, "big")
        if entity in self.known or len(self.waiting) >= WAITING_ENTITIES:
            return
        if len(self.known) >= KNOWN_ENTITIES:
            self.known.clear()
        self.known.add(entity)
        self.waiting[entity] = arm

    def document(self) -> WorkerCounts:
        """What was counted so far, whole."""
        comparison = self.comparison or ComparisonCount()
        return WorkerCounts(
            stages={number: stage.counts() for number, stage in self.stages.items()},
            comparison=comparison.comparison(),
        )


class Counting:
    """Counts of all experiments in this worker."""

    def __init__(self) -> None:
        self._experiments: dict[str, Experiment] = {}

    def experiment(self, name: str) -> Experiment:
        """Counts of one experiment, made when it is first met."""
        found = self._experiments.get(name)
        if found is None:
            found = self._experiments[name] = Experiment()
        return found

    def comparison(self, experiment: str) -> ComparisonCount:
        """Comparison with a shadow."""
        found = self.experiment(experiment)
        if found.comparison is None:
            found.comparison = ComparisonCount()
        return found.comparison

    def experiments(self) -> Iterator[tuple[str, Experiment]]:
        """All that were met and not forgotten."""
        yield from list(self._experiments.items())

    def forget(self, name: str) -> None:
        """Keep no more of an experiment that has ended."""
        self._experiments.pop(name, None)


class CountPublisher:
    """Publishes what this worker counts; what cannot be published waits.

    Parameters
    ----------
    worker
        Name of this worker that no other has, nor had.
    live
        Names of the experiments that the channels know now.
    """

    def __init__(
        self,
        counting: Counting,
        store: SharedCounts,
        worker: str,
        *,
        live: Callable[[], Collection[str]],
        clock: Clock,
        told: Told,
    ) -> None:
        self._counting = counting
        self._store = store
        self._worker = worker
        self._live = live
        self._clock = clock
        self._told = told
        self._trouble = ""
        self._last: dict[str, WorkerCounts] = {}
        self._n_published = 0
        self._ending: set[str] = set()

    async def follow(self) -> None:
        """Publish until cancelled."""
        while True:
            await asyncio.sleep(PUBLISH_EVERY_S)
            await self.publish()

    async def publish(self) -> None:
        """Publish what changed, and now and then all; forget what ended and was published again."""
        self._n_published += 1
        if self._n_published % ANEW_EVERY == 0:
            self._last.clear()
        live = self._live()
        trouble = ""
        for name, experiment in self._counting.experiments():
            try:
                await self._tell_entities(name, experiment)
                await self._publish(name, experiment.document())
            except PlatformError as error:
                trouble = str(error)
            if name not in live and name in self._ending:
                self._counting.forget(name)
                self._last.pop(name, None)
                self._ending.discard(name)
            elif name not in live:
                self._ending.add(name)
        if trouble and not self._trouble:
            self._told(Trouble(f"counts of rollouts wait: {trouble}"))
        self._trouble = trouble

    async def _tell_entities(self, name: str, experiment: Experiment) -> None:
        waiting = dict(experiment.waiting)
        if not waiting:
            return
        is_new = await asyncio.to_thread(self._store.first_seen, name, list(waiting))
        for (entity, arm), new in zip(waiting.items(), is_new, strict=True):
            arm.n_entities += new
            del experiment.waiting[entity]

    async def _publish(self, name: str, document: WorkerCounts) -> None:
        if self._last.get(name) == document:
            return

        def publish() -> None:
            content = document.model_dump_json().encode()
            self._store.publish(name, self._worker, content, now_ms=self._clock.now_ms())

        await asyncio.to_thread(publish)
        self._last[name] = document
