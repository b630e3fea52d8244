"""The engine: validate -> read -> transform -> score -> decide -> record -> answer.

Plain async Python. It knows no transport, no runtime and no store, only ports; a test
builds it with fakes and calls it. One request holds one roster from start to end, so a
swap under way never mixes two releases in one answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.clock import Clock
from core.decisions import decide
from core.errors import DependencyError, IntegrityError
from core.features.transforms import apply_transforms
from core.features.vector import vector_of
from serving.answers import Outcome, answer_of, model_of
from serving.contract import Point
from serving.errors import BrokenContractError, FieldFault, ListTooLongError
from serving.explaining import Explaining, Explanation
from serving.features import Reading, model_inputs, no_features, read_features
from serving.ports import Json, Observer, Reader
from serving.recording import Recording
from serving.releases import LoadedRelease, Releases

MAX_POINTS = 1_000
MAX_FAULTS = 20


@dataclass(frozen=True)
class Budgets:
    """How long a stage may take before the answer goes on without it."""

    read_ms: int = 250
    explain_ms: int = 300


@dataclass
class _Timer:
    """Stages of one request, in milliseconds."""

    clock: Clock
    observer: Observer
    use_case: str
    stages_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start_s = self.clock.monotonic_s()
        try:
            yield
        finally:
            spent_s = self.clock.monotonic_s() - start_s
            self.stages_ms[name] = round(spent_s * 1_000, 3)
            self.observer.stage(self.use_case, name, spent_s)


class Engine:
    """Decides about points. Built once; all it needs is handed over."""

    def __init__(
        self,
        *,
        releases: Releases,
        reader: Reader,
        recording: Recording,
        explaining: Explaining,
        clock: Clock,
        observer: Observer,
        budgets: Budgets,
    ) -> None:
        self._releases = releases
        self._reader = reader
        self._recording = recording
        self._explaining = explaining
        self._clock = clock
        self._observer = observer
        self._budgets = budgets

    async def predict(self, use_case: str, raw: object) -> Json:
        """Answer to one raw request.

        Raises
        ------
        NotFoundError
            If the use case is not served.
        InvalidInputError
            If the request breaks the contract or asks for a t that is no longer kept.
        IntegrityError
            If the model answers what is no score.
        DependencyError
            If the record cannot be kept: then no answer leaves.
        """
        return (await self._answer(use_case, [raw], [""]))[0]

    async def predict_many(self, use_case: str, raw: object) -> Json:
        """Answers to up to 1,000 requests in order, read, scored and recorded together."""
        points = raw.get("points") if isinstance(raw, dict) and raw.keys() == {"points"} else None
        if not isinstance(points, list) or not points:
            fault = FieldFault("/points", "malformed", "must be the only field: a list of requests")
            raise BrokenContractError([fault])
        if len(points) > MAX_POINTS:
            raise ListTooLongError(
                "too many points in one request",
                found=f"{len(points)}",
                remedy=f"send at most {MAX_POINTS}",
            )
        pointers = [f"/points/{index}" for index in range(len(points))]
        return {"predictions": await self._answer(use_case, points, pointers)}

    async def _answer(
        self, use_case: str, raws: Sequence[object], pointers: Sequence[str]
    ) -> list[Json]:
        received_at_ms = self._clock.now_ms()
        release, channel = self._releases.served(use_case).route()
        timer = _Timer(self._clock, self._observer, use_case)
        with timer.stage("validate"):
            points = _points(release, raws, pointers, received_at_ms)
        outcomes = await self._outcomes(release, points, timer)
        model = model_of(release, channel)
        with timer.stage("record"):
            record_ids = self._recording.keep(
                outcomes, release, model, received_at_ms, timer.stages_ms
            )
        for outcome in outcomes:
            level = outcome.degraded["level"] if outcome.degraded else ""
            self._observer.predicted(use_case, channel, outcome.decision, degraded=level)
        return [
            answer_of(outcome, record_id, model, timer.stages_ms)
            for outcome, record_id in zip(outcomes, record_ids, strict=True)
        ]

    async def _outcomes(
        self, release: LoadedRelease, points: Sequence[Point], timer: _Timer
    ) -> list[Outcome]:
        with timer.stage("read"):
            readings, degraded = await self._read(release, points)
        with timer.stage("transform"):
            arrays = model_inputs(release.plan, points, readings)
            transforms = apply_transforms(release.plan, arrays)
            vectors = vector_of(release.plan, {**arrays, **transforms})
        with timer.stage("score"):
            scores = await release.scorer.score(vectors)
        decisions = [decide(release.manifest.decisions, float(score)) for score in scores]
        with timer.stage("explain"):
            explanations = await self._explain(release, points, vectors)
        return [
            Outcome(
                point=point,
                reading=readings[i],
                transforms={name: float(array[i]) for name, array in transforms.items()},
                vector=vectors[i],
                score=float(scores[i]),
                decision=decisions[i][0],
                reason=decisions[i][1],
                explanation=explanations[i],
                degraded=degraded,
            )
            for i, point in enumerate(points)
        ]

    async def _read(
        self, release: LoadedRelease, points: Sequence[Point]
    ) -> tuple[list[Reading], Json | None]:
        """Readings, and what is missing: without its features an answer still leaves, labelled."""
        try:
            async with asyncio.timeout(self._budgets.read_ms / 1_000):
                return await read_features(release.plan, points, self._reader), None
        except TimeoutError:
            because = f"online values took more than {self._budgets.read_ms} ms"
        except (DependencyError, OSError):
            because = "the online store did not answer"
        except IntegrityError:
            because = "the online store holds values that cannot be read"
        missing = no_features(release.plan, len(points))
        return missing, {"level": "no_features", "because": because}

    async def _explain(
        self, release: LoadedRelease, points: Sequence[Point], vectors: NDArray[np.float32]
    ) -> list[Explanation | None]:
        asked = [i for i, point in enumerate(points) if point.is_explained]
        explanations: list[Explanation | None] = [None] * len(points)
        if asked:
            found = await self._explaining.explain(
                release, [vectors[i] for i in asked], budget_ms=self._budgets.explain_ms
            )
            for i, explanation in zip(asked, found, strict=True):
                explanations[i] = explanation
        return explanations


def _points(
    release: LoadedRelease, raws: Sequence[object], pointers: Sequence[str], now_ms: int
) -> list[Point]:
    points: list[Point] = []
    faults: list[FieldFault] = []
    for raw, pointer in zip(raws, pointers, strict=True):
        try:
            points.append(release.contract.point(raw, now_ms=now_ms, pointer=pointer))
        except BrokenContractError as error:
            faults.extend(error.faults)
            if len(faults) >= MAX_FAULTS:
                break
    if faults:
        raise BrokenContractError(faults[:MAX_FAULTS])
    return points
