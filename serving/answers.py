"""What leaves: the answer to the caller and the record that is kept of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from serving.contract import Point
from serving.explaining import Explanation
from serving.features import Reading
from serving.ports import Json
from serving.releases import LoadedRelease

RECORD_VERSION = 1
TOP_CONTRIBUTIONS = 5

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that is known about one decided point."""

    point: Point
    reading: Reading
    transforms: Mapping[str, float]
    vector: NDArray[np.float32]
    score: float
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


def answer_of(outcome: Outcome, record_id: str, model: Json, timings_ms: Json) -> Json:
    """Answer of the API."""
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


def record_of(
    outcome: Outcome, release: LoadedRelease, model: Json, received_at_ms: int, timings_ms: Json
) -> bytes:
    """Record of one prediction, JSON; null stands for NaN. Its id is where it will stand."""
    manifest = release.manifest
    views = {view.name: view for view in manifest.plan.views}
    return _encoder.encode(
        {
            "version": RECORD_VERSION,
            "use_case": manifest.use_case,
            "received_at_ms": received_at_ms,
            "at_ms": outcome.point.at_ms,
            "entities": outcome.point.keys,
            "inputs": outcome.point.inputs,
            "features": {
                name: {
                    "status": read.status,
                    "age_ms": read.age_ms,
                    "seen_position": read.seen,
                    "values": dict(zip(views[name].feature_names, read.values, strict=True)),
                }
                for name, read in outcome.reading.items()
            },
            "transforms": {name: _finite(value) for name, value in outcome.transforms.items()},
            "vector": [_finite(value) for value in outcome.vector.tolist()],
            "score": outcome.score,
            "decision": outcome.decision,
            "reason": outcome.reason,
            "policy_digest": manifest.decisions.digest,
            "model": {
                **model,
                "kind": manifest.model_kind,
                "manifest_digest": release.manifest_digest,
                "plan_digest": release.plan_digest,
            },
            "explanation": None if outcome.explanation is None else outcome.explanation.to_json(),
            "degraded": outcome.degraded,
            "timings_ms": timings_ms,
        }
    )


def _reasons(outcome: Outcome) -> list[Json]:
    reasons: list[Json] = [{"code": outcome.reason}]
    explanation = outcome.explanation
    if explanation is None:
        return reasons
    if explanation.status != "exact":
        return [*reasons, {"code": f"explanation_{explanation.status}"}]
    top = explanation.top(outcome.vector, TOP_CONTRIBUTIONS)
    return [*reasons, *({"code": "contribution", **each} for each in top)]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
