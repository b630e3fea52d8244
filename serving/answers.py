"""What leaves: the answer to the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.contract import Point
from serving.explaining import Explanation
from serving.features import Reading
from serving.ports import Json
from serving.releases import LoadedRelease

TOP_CONTRIBUTIONS = 5


class Outcome(NamedTuple):
    """All that is known about one decided point. ``rule`` is the place of the one that fired.

    ``score`` is None where nothing could score.
    """

    point: Point
    reading: Reading
    transforms: Mapping[str, float]
    vector: NDArray[np.float32]
    score: float | None
    rule: int | None
    decision: str
    reason: str
    explanation: Explanation | None
    degraded: Json | None


def model_of(release: LoadedRelease, channel: str) -> Json:
    """Which model answered. Its version is the start of its manifest's digest."""
    return {
        "name": release.manifest.use_case,
        "version": release.manifest_digest[:12],
        "release": release.manifest.release,
        "channel": channel,
    }


def answer_of(outcome: Outcome, record_id: str | None, model: Json, timings_ms: Json) -> Json:
    """Answer of the API; without an id where no record is kept."""
    return {
        "prediction_id": record_id,
        "score": outcome.score,
        "decision": outcome.decision,
        "reasons": _reasons(outcome),
        "model": model,
        "features": {
            view: {"status": read.status, "age_ms": read.age_ms}
            for view, read in outcome.reading.items()
        },
        "degraded": outcome.degraded,
        "timings_ms": timings_ms,
    }


def _reasons(outcome: Outcome) -> list[Json]:
    reasons: list[Json] = [{"code": outcome.reason}]
    explanation = outcome.explanation
    if explanation is None:
        return reasons
    if explanation.status != "exact":
        return [*reasons, {"code": f"explanation_{explanation.status}"}]
    top = explanation.top(outcome.vector, TOP_CONTRIBUTIONS)
    return [*reasons, *({"code": "contribution", **each} for each in top)]
