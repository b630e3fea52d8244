"""A pass: points of one release, read, scored, decided, explained, recorded together.

What a pass costs hardly grows with its points, so requests that come in one turn of the loop
share one (`serving.together`). None can tell: the model answers a row alike, whatever stands
beside it, and every request keeps its own instant, timings and record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.clock import Clock
from core.degradation import Lapse
from core.errors import DependencyError, IntegrityError
from core.features.transforms import apply_transforms
from core.features.vector import vector_of
from serving.answers import Outcome, answer_of, model_of
from serving.contract import Point
from serving.descent import judged
from serving.explaining import Explaining, Explanation
from serving.features import Reading
from serving.guard import RESTING, SLOW
from serving.ports import Json, Observer, Reader
from serving.recording import Recording
from serving.releases import LoadedRelease
from serving.shadows import Shadows

SILENT = "the online store did not answer"


@dataclass(frozen=True)
class Budgets:
    """How long a stage may take before the answer goes on without it; reads have a guard."""

    explain_ms: int = 300


@dataclass(frozen=True, slots=True)
class Asked:
    """Points of one request, how long they took to validate, what to label their answers by."""

    points: Sequence[Point]
    validate_ms: float
    instead: Json | None = None


@dataclass
class Timer:
    """Stages of one pass, in milliseconds."""

    clock: Clock
    observer: Observer
    use_case: str
    stages_ms: dict[str, float] = field(default_factory=dict)

    def stage(self, name: str) -> Stage:
        """Time what is inside, whatever comes of it."""
        return Stage(self, name)


class Stage:
    """A block that is timed."""

    __slots__ = ("_name", "_start_s", "_timer")

    def __init__(self, timer: Timer, name: str) -> None:
        self._timer = timer
        self._name = name

    def __enter__(self) -> None:
        self._start_s = self._timer.clock.monotonic_s()

    def __exit__(self, *_: object) -> None:
        timer = self._timer
        spent_s = timer.clock.monotonic_s() - self._start_s
        timer.stages_ms[self._name] = round(spent_s * 1_000, 3)
        timer.observer.stage(timer.use_case, self._name, spent_s)


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
        """
        use_case = release.manifest.use_case
        timer = Timer(self._clock, self._observer, use_case)
        points = [point for request in requests for point in request.points]
        labels = [request.instead for request in requests for _ in request.points]
        outcomes = await self._outcomes(release, channel, points, labels, timer)
        timings: list[Json] = []
        for request in requests:
            shared = {"validate": request.validate_ms, **timer.stages_ms}
            timings += [shared] * len(request.points)
        model = model_of(release, channel)
        with timer.stage("record"):
            record_ids = self._recording.keep(outcomes, release, model, timings)
        for outcome in outcomes:
            level = outcome.degraded["level"] if outcome.degraded else ""
            self._observer.predicted(use_case, channel, outcome.decision, degraded=level)
        self._shadows.offer(release, channel, outcomes, timer.stages_ms)
        answers = iter(
            [
                answer_of(outcome, record_id, model, {**spent, "record": timer.stages_ms["record"]})
                for outcome, record_id, spent in zip(outcomes, record_ids, timings, strict=True)
            ]
        )
        return [[next(answers) for _ in request.points] for request in requests]

    async def _outcomes(
        self,
        release: LoadedRelease,
        channel: str,
        points: Sequence[Point],
        labels: Sequence[Json | None],
        timer: Timer,
    ) -> list[Outcome]:
        with timer.stage("read"):
            readings, degraded, lapses = await self._read(release, points)
        with timer.stage("transform"):
            arrays = release.features.inputs(points, readings)
            transforms = apply_transforms(release.plan, arrays)
            values = {**arrays, **transforms}
            vectors = vector_of(release.plan, values)
        with timer.stage("score"):
            found = await judged(
                release, vectors, values, lapses, may_descend=channel != "challenger"
            )
        with timer.stage("explain"):
            explanations = await self._explain(release, points, vectors, found.is_of_model)
        computed = {name: array.tolist() for name, array in transforms.items()}
        return [
            Outcome(
                point=point,
                reading=readings[i],
                transforms={name: values[i] for name, values in computed.items()},
                vector=vectors[i],
                score=found.scores[i],
                rule=found.decided[i].rule,
                decision=found.decided[i].decision,
                reason=found.decided[i].reason,
                explanation=explanations[i],
                degraded=found.degraded[i] or degraded or labels[i],
            )
            for i, point in enumerate(points)
        ]

    async def _read(
        self, release: LoadedRelease, points: Sequence[Point]
    ) -> tuple[list[Reading], Json | None, list[Lapse | None] | None]:
        """Readings, how to label all answers, and how points fall short of a declared ladder.

        Without its features an answer still leaves: where no ladder is declared, scored by the
        model with nulls.
        """
        ladder = release.ladder
        try:
            readings = await release.features.read(points, self._reader)
            lapses = None if ladder is None else ladder.lapses(readings)
            if ladder is not None and lapses is not None:
                pairs = zip(readings, lapses, strict=True)
                readings = [ladder.without(reading, lapse) for reading, lapse in pairs]
        except DependencyError as error:
            because = error.wrong if error.code in (SLOW, RESTING) else SILENT
        except OSError:
            because = SILENT
        except IntegrityError:
            because = "the online store holds values that cannot be read"
        else:
            return readings, None, lapses
        missing = release.features.nothing(len(points))
        if ladder is None:
            return missing, {"level": "no_features", "because": because}, None
        return missing, None, ladder.nothing(because, len(points))

    async def _explain(
        self,
        release: LoadedRelease,
        points: Sequence[Point],
        vectors: NDArray[np.float32],
        is_of_model: Sequence[bool],
    ) -> list[Explanation | None]:
        """Explanations of the points that ask for one; of the release's own model or of none."""
        explanations: list[Explanation | None] = [
            Explanation("unavailable") if point.is_explained else None for point in points
        ]
        asked = [i for i, p in enumerate(points) if p.is_explained and is_of_model[i]]
        if asked:
            found = await self._explaining.explain(
                release, [vectors[i] for i in asked], budget_ms=self._budgets.explain_ms
            )
            for i, explanation in zip(asked, found, strict=True):
                explanations[i] = explanation
        return explanations
