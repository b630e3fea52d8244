"""What leaves: the answer to the caller."""

from __future__ import annotations

from collections.abc import Sequence

from serving.engine.outcomes import Outcome, Outcomes
from serving.engine.readings import Reading
from serving.models.releases import LoadedRelease
from serving.ports import Json

TOP_CONTRIBUTIONS = 5


def model_of(release: LoadedRelease, channel: str) -> Json:
    """Which model answered. Its version is the start of its manifest's digest."""
    return {
        "name": release.manifest.use_case,
        "version": release.manifest_digest[:12],
        "release": release.manifest.release,
        "channel": channel,
    }


def answers_of(
    outcomes: Outcomes,
    record_ids: Sequence[str | None],
    model: Json,
    timings_ms: Sequence[Json],
) -> list[Json]:
    """Answers of the API in order; without an id where no record is kept."""
    known: dict[int, Json] = {}  # what outcomes share is told once
    return [
        {
            "prediction_id": record_id,
            "score": outcome.score,
            "decision": outcome.decision,
            "reasons": _reasons(outcome),
            "model": model,
            "features": _features(outcome.reading, known),
            "degraded": outcome.degraded,
            "timings_ms": spent_ms,
        }
        for outcome, record_id, spent_ms in zip(outcomes, record_ids, timings_ms, strict=True)
    ]


def _features(reading: Reading, known: dict[int, Json]) -> Json:
    features = {}
    for view, read in reading.items():
        found = known.get(id(read))
        if found is None:
            found = known[id(read)] = {"status": read.status, "age_ms": read.age_ms}
        features[view] = found
    return features


def _reasons(outcome: Outcome) -> list[Json]:
    reasons: list[Json] = [{"code": outcome.reason}]
    explanation = outcome.explanation
    if explanation is None:
        return reasons
    if explanation.status != "exact":
        return [*reasons, {"code": f"explanation_{explanation.status}"}]
    top = explanation.top(outcome.vector, TOP_CONTRIBUTIONS)
    return [*reasons, *({"code": "contribution", **each} for each in top)]
