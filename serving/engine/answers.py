"""What leaves: the answer to the caller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.packed_records import NONE, STATUSES
from serving.engine.explaining import Explanation
from serving.engine.outcomes import Outcomes
from serving.engine.readings import Readings
from serving.models.releases import LoadedRelease
from serving.ports import Json

TOP_CONTRIBUTIONS = 5
FEW = 8
"""So many points are looked at one by one; of more those that differ from the first (measured)."""


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
    of_each = zip(
        record_ids,
        outcomes.scores,
        outcomes.decided,
        outcomes.explanations,
        _features(outcomes.readings),
        outcomes.degraded,
        timings_ms,
        strict=True,
    )
    return [
        {
            "prediction_id": record_id,
            "score": score,
            "decision": decision,
            "reasons": [{"code": reason}]
            if explanation is None
            else [{"code": reason}, *_contributions(explanation, outcomes.vectors[place])],
            "model": model,
            "features": features,
            "degraded": degraded,
            "timings_ms": spent_ms,
        }
        for place, (
            record_id, score, (_, decision, reason), explanation, features, degraded, spent_ms
        ) in enumerate(of_each)
    ]  # fmt: skip


def _features(readings: Readings) -> list[Json]:
    """Status and age of each view, for each point; those of whom the same is said share it."""
    n_points = len(readings)
    if n_points <= FEW:
        return _told_of(readings, range(n_points))
    found = _told_of(readings, range(1)) * n_points
    others = [place for place, is_other in enumerate(_is_other(readings)) if is_other]
    for place, features in zip(others, _told_of(readings, others), strict=True):
        found[place] = features
    return found


def _is_other(readings: Readings) -> list[bool]:
    """Of each point whether status or age of a view is another than of the first point."""
    statuses, ages_ms = readings.statuses, readings.ages_ms
    is_other: NDArray[np.bool_] = (statuses != statuses[:, :1]) | (ages_ms != ages_ms[:, :1])
    of_points: list[bool] = np.logical_or.reduce(is_other, axis=0).tolist()
    return of_points


def _told_of(readings: Readings, places: Iterable[int]) -> list[Json]:
    names, told, n_points = readings.rows.names, readings.told, len(readings)
    known: dict[bytes, Json] = {}
    found = []
    for place in places:
        statuses = told.statuses[place::n_points]
        ages_ms = told.numbers[place : told.n_cells : n_points]  # `AGES` is the first column
        said = statuses.tobytes() + ages_ms.tobytes()
        features = known.get(said)
        if features is None:
            features = known[said] = {
                name: {"status": STATUSES[status], "age_ms": None if age_ms == NONE else age_ms}
                for name, status, age_ms in zip(names, statuses, ages_ms, strict=True)
            }
        found.append(features)
    return found


def _contributions(explanation: Explanation, vector: NDArray[np.float32]) -> list[Json]:
    if explanation.status != "exact":
        return [{"code": f"explanation_{explanation.status}"}]
    top = explanation.top(vector, TOP_CONTRIBUTIONS)
    return [{"code": "contribution", **each} for each in top]
