"""The engine: validate -> read -> transform -> score -> decide -> record -> answer.

Plain async Python. It knows no transport, no runtime and no store, only ports; a test
builds it with fakes and calls it. One request holds one roster from start to end, so a
swap under way never mixes two releases in one answer. While a rollout runs,
``serving.engine.splitting`` says which release answers whom.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.clock import Clock
from core.synthetic import is_synthetic
from serving.engine.calls import Call, points_of
from serving.engine.deadline import current as deadline
from serving.engine.passes import Asked, Passes, Timer
from serving.engine.speaking import speaker
from serving.engine.splitting import Splitting
from serving.engine.together import Together
from serving.errors import BrokenContractError, FieldFault, ListTooLongError
from serving.models.releases import LoadedRelease, Releases
from serving.ports import UNSEEN, Json, Observer
from serving.telemetry.tracing import current

MAX_POINTS = 1_000


class Engine:
    """Decides about points. Built once; all it needs is handed over."""

    def __init__(
        self,
        *,
        releases: Releases,
        passes: Passes,
        splitting: Splitting,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._releases = releases
        self._passes = passes
        self._splitting = splitting
        self._together = Together(passes.run)
        self._clock = clock
        self._observer = observer

    async def predict(self, use_case: str, raw: object, said: str | None = None) -> Json:
        """Answer to one raw request; ``said`` is the contract that it says it speaks.

        Raises
        ------
        NotFoundError
            If the use case is not served, or not that contract of it.
        InvalidInputError
            If the request breaks the contract, speaks one whose time is over, or asks for a t that
            is no longer kept.
        IntegrityError
            If the model answers what is no score.
        DependencyError
            If the record cannot be kept: then no answer leaves.
        """
        return (await self._answer(use_case, [raw], [""], said))[0]

    async def predict_many(self, use_case: str, raw: object, said: str | None = None) -> Json:
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
        return {"predictions": await self._answer(use_case, points, pointers, said)}

    async def _answer(
        self, use_case: str, raws: Sequence[object], pointers: Sequence[str], said: str | None
    ) -> list[Json]:
        served, now_ms = self._releases.served(use_case), self._clock.now_ms()
        asked = speaker(served, said, now_ms)
        is_counted = not is_synthetic(raws)
        if is_counted:
            self._observer.spoken(use_case, asked.major)
        call = Call(use_case, raws, pointers, now_ms, current.get(), is_counted=is_counted)
        rollout = served.state.rollout
        if rollout is None or asked.kept is not None:
            return await self._run(call, asked.release, asked.channel, None)
        return await self._splitting.answers(call, served, rollout, self._run)

    async def _run(
        self, call: Call, release: LoadedRelease, channel: str, instead: Json | None
    ) -> list[Json]:
        observer = self._observer if call.is_counted else UNSEEN
        timer = Timer(self._clock, observer, call.use_case)
        timer.begin("validate")
        try:
            points = points_of(call, release)
        finally:
            timer.end()
        request = Asked(points, timer.stages_ms["validate"], instead, deadline.get())
        if len(points) == 1 and not points[0].is_explained:
            return await self._together.ask(release, channel, request)
        return (await self._passes.run(release, channel, [request]))[0]
