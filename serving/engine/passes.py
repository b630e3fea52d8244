"""A pass: points of one release, read, scored, decided, explained, recorded together.

What a pass costs hardly grows with its points, so requests that come in one turn of the loop
share one (`serving.engine.together`). None can tell: the model answers a row alike, whatever stands
beside it, and every request keeps its own instant, timings and record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.clock import Clock
from core.degradation import Lapse
from core.errors import DependencyError, IntegrityError
from core.synthetic import is_marked
from serving.engine.answers import answers_of, model_of
from serving.engine.contract import Point
from serving.engine.deadline import READING_SHARE, Deadline
from serving.engine.descent import judged
from serving.engine.explaining import Explaining, Explanation
from serving.engine.outcomes import Outcomes
from serving.engine.readings import Readings
from serving.guard import RESTING, SLOW
from serving.models.releases import LoadedRelease
from serving.ports import UNSEEN, Json, Observer, Reader
from serving.records.recording import Recording
from serving.rollouts.shadows import Shadows

SILENT = "the online store did not answer"
NO_TIME = "the online store did not answer in the time that the caller gives"
UNHURRIED = nullcontext()


@dataclass(frozen=True)
class Budgets:
    """How long a stage may take before the answer goes on without it; reads have a guard."""

    explain_ms: int = 300


@dataclass(frozen=True, slots=True)
class Asked:
    """Points of one request, how long they took to validate, what to label their answers by.

    ``deadline`` is until when its caller waits.
    """

    points: Sequence[Point]
    validate_ms: float
    instead: Json | None = None
    deadline: Deadline | None = None


class Timer:
    """Stages of one pass, in ms. One ends where the next begins, by one look at the clock."""

    __slots__ = ("_clock", "_name", "_observer", "_since_s", "_use_case", "stages_ms")

    def __init__(self, clock: Clock, observer: Observer, use_case: str) -> None:
        self._clock = clock
        self._observer = observer
        self._use_case = use_case
        self._name = ""
        self._since_s = 0.0
        self.stages_ms: dict[str, float] = {}

    def begin(self, name: str) -> None:
        """End the stage that runs, if one does, and begin another."""
        now_s = self._clock.monotonic_s()
        if self._name:
            self._note(now_s - self._since_s)
        self._name, self._since_s = name, now_s

    def end(self) -> None:
        """End the stage that runs, whatever came of it."""
        if self._name:
            self._note(self._clock.monotonic_s() - self._since_s)
            self._name = ""

    def _note(self, spent_s: float) -> None:
        # To whole microseconds: to round to digits Python prints the number and reads it again.
        self.stages_ms[self._name] = round(spent_s * 1_000_000) / 1_000
        self._observer.stage(self._use_case, self._name, spent_s)


class Passes:
    """Runs passes. Built once; all it needs is handed over."""

    def __init__(
        self,
        *,
        reader: Reader,
        recording: Recording,
        explaining: Explaining,
        clock: Clock,
        observer: Observer,
        shadows: Shadows,
        budgets: Budgets,
    ) -> None:
        self._reader = reader
        self._recording = recording
        self._explaining = explaining
        self._clock = clock
        self._observer = observer
        self._shadows = shadows
        self._budgets = budgets

    async def run(
        self, release: LoadedRelease, channel: str, requests: Sequence[Asked]
    ) -> list[list[Json]]:
        """Answers of each request, in order, all recorded with one write.

        Raises
        ------
        InvalidInputError
            If a point asks for a t that is no longer kept.
        IntegrityError
            If the model answers what is no score, and there is no ladder to go down.
        DependencyError
            If the records cannot be kept: then no answer leaves.
        LateError
            If the caller of the only request waits no longer; then nothing is recorded. Of several
            the late ones are told by who carries their answers.
        """
        is_ours = all(is_marked(each.event_id) for asked in requests for each in asked.points)
        observer = UNSEEN if is_ours else self._observer
        timer = Timer(self._clock, observer, release.manifest.use_case)
        try:
            return await self._answered(release, channel, requests, timer)
        finally:
            timer.end()

    async def _answered(
        self, release: LoadedRelease, channel: str, requests: Sequence[Asked], timer: Timer
    ) -> list[list[Json]]:
        points = [point for request in requests for point in request.points]
        labels = [request.instead for request in requests for _ in request.points]
        outcomes = await self._outcomes(release, channel, requests, points, labels, timer)
        self._check_time(requests)
        model = model_of(release, channel)
        timer.begin("record")
        spent = [{"validate": each.validate_ms, **timer.stages_ms} for each in requests]
        record_ids = self._recording.keep(outcomes, release, model, _of_points(spent, requests))
        timer.end()
        self._count(release.manifest.use_case, channel, outcomes)
        self._shadows.offer(release, channel, outcomes, timer.stages_ms)
        spent = [{**each, "record": timer.stages_ms["record"]} for each in spent]
        answers = answers_of(outcomes, record_ids, model, _of_points(spent, requests))
        if len(requests) == 1:
            return [answers]
        following = iter(answers)
        return [[next(following) for _ in request.points] for request in requests]

    def _count(self, use_case: str, channel: str, outcomes: Outcomes) -> None:
        found: dict[tuple[str, str], int] = {}
        of_each = zip(outcomes.points, outcomes.decided, outcomes.degraded, strict=True)
        for point, decided, degraded in of_each:
            if is_marked(point.event_id):
                continue
            kind = decided.decision, degraded["level"] if degraded else ""
            found[kind] = found.get(kind, 0) + 1
        for (decision, level), n_points in found.items():
            self._observer.predicted(use_case, channel, decision, degraded=level, n_points=n_points)

    async def _outcomes(
        self,
        release: LoadedRelease,
        channel: str,
        requests: Sequence[Asked],
        points: Sequence[Point],
        labels: Sequence[Json | None],
        timer: Timer,
    ) -> Outcomes:
        timer.begin("read")
        budget_s = self._some_s(requests)
        readings, degraded, lapses = await self._read(release, points, budget_s)
        self._check_time(requests)
        if release.consenting is not None:
            readings, lapses = release.consenting.followed(readings, lapses)
        timer.begin("transform")
        vectors = release.features.vectors(readings.table)
        timer.begin("score")
        found = await judged(
            release, vectors, readings.table, lapses, may_descend=channel != "challenger"
        )
        timer.begin("explain")
        most_s = self._explaining_s(channel, requests)
        explanations = await self._explain(release, points, vectors, found.is_of_model, most_s)
        timer.end()
        of_each = zip(found.degraded, labels, strict=True)
        return Outcomes(
            points,
            readings,
            vectors,
            scores=found.scores,
            decided=found.decided,
            explanations=explanations,
            degraded=[its_own or degraded or label for its_own, label in of_each],
        )

    def _check_time(self, requests: Sequence[Asked]) -> None:
        if len(requests) == 1 and requests[0].deadline is not None:
            requests[0].deadline.check(self._clock.monotonic_s())

    def _some_s(self, requests: Sequence[Asked]) -> float | None:
        """What a stage may take, so that nobody is late for it; None where somebody waits on.

        It is that of the most patient: nobody does without features for another's haste.
        """
        until_s = 0.0
        for each in requests:
            if each.deadline is None:
                return None
            until_s = max(until_s, each.deadline.until_s)
        return READING_SHARE * (until_s - self._clock.monotonic_s())

    async def _read(
        self, release: LoadedRelease, points: Sequence[Point], budget_s: float | None
    ) -> tuple[Readings, Json | None, list[Lapse | None] | None]:
        """Readings, how to label all answers, and how points fall short of a declared ladder.

        Without its features an answer still leaves: where no ladder is declared, scored by the
        model with nulls.
        """
        ladder = release.ladder
        try:
            async with UNHURRIED if budget_s is None else asyncio.timeout(budget_s):
                readings = await release.features.read(points, self._reader)
            lapses = None if ladder is None else ladder.lapses(readings)
            if ladder is not None and lapses is not None:
                readings = ladder.without(readings, lapses)
        except DependencyError as error:
            because = error.wrong if error.code in (SLOW, RESTING) else SILENT
        except OSError as error:
            is_hurried = budget_s is not None and isinstance(error, TimeoutError)
            because = NO_TIME if is_hurried else SILENT
        except IntegrityError:
            because = "the online store holds values that cannot be read"
        else:
            return readings, None, lapses
        missing = release.features.nothing(points)
        if ladder is None:
            return missing, {"level": "no_features", "because": because}, None
        return missing, None, ladder.nothing(because, len(points))

    async def _explain(
        self,
        release: LoadedRelease,
        points: Sequence[Point],
        vectors: NDArray[np.float32],
        is_of_model: Sequence[bool],
        most_s: float | None,
    ) -> list[Explanation | None]:
        """Explanations of the points that ask for one; of the release's own model or of none."""
        explanations: list[Explanation | None] = [
            Explanation("unavailable") if point.is_explained else None for point in points
        ]
        asked = [i for i, p in enumerate(points) if p.is_explained and is_of_model[i]]
        if asked:
            found = await self._explained(release, [vectors[i] for i in asked], most_s)
            for i, explanation in zip(asked, found, strict=True):
                explanations[i] = explanation
        return explanations

    async def _explained(
        self, release: LoadedRelease, vectors: Sequence[NDArray[np.float32]], most_s: float | None
    ) -> list[Explanation]:
        """An explanation of each vector, late after ``most_s`` however much its budget is."""
        try:
            async with UNHURRIED if most_s is None else asyncio.timeout(most_s):
                budget_ms = self._budgets.explain_ms
                return await self._explaining.explain(release, vectors, budget_ms=budget_ms)
        except TimeoutError:
            return [Explanation("late")] * len(vectors)

    def _explaining_s(self, channel: str, requests: Sequence[Asked]) -> float | None:
        """What explanations may take though their process has to start; None for all of that.

        A challenger is not failed for it: its caller gets the answer, and no explanation.
        """
        some_s = self._some_s(requests)
        if channel != "challenger":
            return some_s
        budget_s = self._budgets.explain_ms / 1_000
        return budget_s if some_s is None else min(budget_s, some_s)


def _of_points(spent: Sequence[Json], requests: Sequence[Asked]) -> list[Json]:
    """For each point what its request spent."""
    return [each for each, asked in zip(spent, requests, strict=True) for _ in asked.points]
