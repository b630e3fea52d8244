"""A call: raw requests that came together, before anybody has decided which release answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from serving.engine.contract import Arm, Point
from serving.errors import BrokenContractError, FieldFault
from serving.models.releases import LoadedRelease
from serving.ports import Json
from serving.telemetry.tracing import Trace

MAX_FAULTS = 20
FEW = 3
"""Up to so many requests are checked one by one; more are quicker together (measured)."""


@dataclass(frozen=True, slots=True)
class Call:
    """Raw requests, where each stood in what was sent, and when they came.

    ``arm`` is where a rollout assigned them, None where none runs; ``is_counted`` is False where
    all are synthetic.
    """

    use_case: str
    raws: Sequence[object]
    pointers: Sequence[str]
    received_at_ms: int
    trace: Trace | None = None
    arm: Arm | None = None
    is_counted: bool = True

    def part(self, places: Sequence[int]) -> Call:
        """Some of the requests."""
        return Call(
            self.use_case,
            [self.raws[place] for place in places],
            [self.pointers[place] for place in places],
            self.received_at_ms,
            self.trace,
            self.arm,
            self.is_counted,
        )


Run = Callable[[Call, LoadedRelease, str, Json | None], Awaitable[list[Json]]]
"""Answers of a release in a channel, in order; with what to label them by, if with anything."""


def points_of(call: Call, release: LoadedRelease) -> list[Point]:
    """Points of a call by a release's contract; BrokenContractError with all that does not fit."""
    contract, now_ms, trace, arm = release.contract, call.received_at_ms, call.trace, call.arm
    if len(call.raws) > FEW:
        found = contract.points(call.raws, now_ms=now_ms, trace=trace, arm=arm)
        if found is not None:
            return found
    points: list[Point] = []
    faults: list[FieldFault] = []
    for raw, pointer in zip(call.raws, call.pointers, strict=True):
        try:
            point = contract.point(raw, now_ms=now_ms, pointer=pointer, trace=trace, arm=arm)
            points.append(point)
        except BrokenContractError as error:
            faults.extend(error.faults)
            if len(faults) >= MAX_FAULTS:
                break
    if faults:
        raise BrokenContractError(faults[:MAX_FAULTS])
    return points
