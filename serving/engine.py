"""The engine: validate -> read -> transform -> score -> decide -> record -> answer.

Plain async Python. It knows no transport, no runtime and no store, only ports; a test
builds it with fakes and calls it. One request holds one roster from start to end, so a
swap under way never mixes two releases in one answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.clock import Clock
from serving.contract import Point
from serving.errors import BrokenContractError, FieldFault, ListTooLongError
from serving.passes import Asked, Passes, Timer
from serving.ports import Json, Observer
from serving.releases import LoadedRelease, Releases
from serving.together import Together

MAX_POINTS = 1_000
MAX_FAULTS = 20


class Engine:
    """Decides about points. Built once; all it needs is handed over."""

    def __init__(
        self, *, releases: Releases, passes: Passes, clock: Clock, observer: Observer
    ) -> None:
        self._releases = releases
        self._passes = passes
        self._together = Together(passes.run)
        self._clock = clock
        self._observer = observer

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
        release, channel = self._releases.served(use_case).route()
        timer = Timer(self._clock, self._observer, use_case)
        with timer.stage("validate"):
            points = _points(release, raws, pointers, self._clock.now_ms())
        request = Asked(points, timer.stages_ms["validate"])
        if len(points) == 1 and not points[0].is_explained:
            return await self._together.ask(release, channel, request)
        return (await self._passes.run(release, channel, [request]))[0]


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
