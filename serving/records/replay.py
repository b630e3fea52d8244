"""Replay in the service: a record's transforms, vector, score and decision, computed again.

Features are taken as recorded; whether they were right as of then is another proof, made
from the tables. Transforms and vector must be bit-equal. A score may differ by
``SCORE_TOLERANCE``: a row scored in a batch of another size adds in another order. What a
masked input went into cannot be computed again; it is taken as recorded and said to be so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.consent import OPTED_OUT, is_ignored
from core.decisions import Decided, Decider
from core.degradation import MODEL, rung_taken
from core.errors import IntegrityError
from core.features.transforms import apply_transforms
from core.features.vector import vector_of
from core.recorded import (
    differing_decision,
    masked_inputs,
    recorded_inputs,
    recorded_transforms,
    without_masked,
)
from serving.models.releases import LoadedRelease
from serving.ports import Json

SCORE_TOLERANCE = 1e-6


def replayed(record: Mapping[str, Any], release: LoadedRelease) -> Json:
    """What the recorded release makes of the recorded inputs, and where it differs.

    Raises
    ------
    IntegrityError
        If the record was made by another manifest than the shelf's, or lacks a value.
    """
    _check_manifest(record, release)
    arrays = recorded_inputs([record], release.plan)
    masked = masked_inputs(record)
    plan, hidden = without_masked(release.plan, masked)
    transforms = apply_transforms(plan, arrays)
    taken = recorded_transforms([record], hidden)
    vectors = vector_of(release.plan, {**arrays, **transforms, **taken})
    recorded_vector = np.array([record["vector"]], dtype=np.float32)
    score, decider = _score(record, release, recorded_vector)
    if masked & set(decider.reads):
        hidden = [*hidden, "decision"]
        decided = Decided(record.get("rule"), record["decision"], record["reason"])
    else:
        values = {**arrays, **transforms, **taken}
        if score is None:
            (decided,) = decider.decide_unscored(values, 1)
        else:
            (decided,) = decider.decide(np.array([score]), values)
    differences = [
        *_differing("transforms", record["transforms"], transforms),
        *_differing_vector(release, recorded_vector[0], vectors[0]),
        *_differing_end(record, score, decided),
        *_ignored_word(record, release),
    ]
    return {
        "is_equal": not differences,
        "differences": differences,
        "recorded": {key: record[key] for key in ("score", "decision", "reason")},
        "replayed": {"score": score, "decision": decided.decision, "reason": decided.reason},
        "model": record["model"],
        "compared": {
            "transforms": len(transforms),
            "vector": len(release.plan.vector),
            "score_tolerance": SCORE_TOLERANCE,
        },
        "unreplayable": {"why": "an input is masked", "names": hidden} if hidden else None,
    }


def _score(
    record: Mapping[str, Any], release: LoadedRelease, vector: NDArray[np.float32]
) -> tuple[float | None, Decider]:
    """Score from the rung of the ladder that the record names, and what decides by it."""
    ladder = release.ladder
    if ladder is None:
        return float(release.runner.score(vector)[0]), release.decider
    rung = rung_taken(record, [each.without for each in ladder.fallbacks]) or MODEL
    if not rung.is_scored:
        return None, ladder.unscored
    if rung.fallback is None:
        return float(release.runner.score(vector)[0]), release.decider
    fallback = ladder.fallbacks[rung.fallback]
    return float(fallback.runner.score(fallback.vectors(vector))[0]), release.decider


def _check_manifest(record: Mapping[str, Any], release: LoadedRelease) -> None:
    recorded = record["model"]["manifest_digest"]
    if recorded != release.manifest_digest:
        raise IntegrityError(
            "the release on the shelf is not the one that made this record",
            found=f"manifest {release.manifest_digest[:12]}, not {recorded[:12]}",
            remedy="restore the release to the shelf; a number is never given twice",
            code="another_manifest",
        )


def _differing(
    where: str, recorded: Mapping[str, float | None], computed: Mapping[str, NDArray[np.float64]]
) -> list[Json]:
    found = {name: float(array[0]) for name, array in computed.items()}
    return [
        {"where": where, "name": name, "recorded": recorded.get(name), "replayed": _finite(value)}
        for name, value in found.items()
        if recorded.get(name) != _finite(value)
    ]


def _differing_vector(
    release: LoadedRelease, recorded: NDArray[np.float32], computed: NDArray[np.float32]
) -> list[Json]:
    if recorded.shape != computed.shape:
        return [{"where": "vector", "recorded": len(recorded), "replayed": len(computed)}]
    is_equal = (recorded == computed) | (np.isnan(recorded) & np.isnan(computed))
    return [
        {
            "where": "vector",
            "name": release.plan.vector[i],
            "recorded": _finite(float(recorded[i])),
            "replayed": _finite(float(computed[i])),
        }
        for i in np.flatnonzero(~is_equal)
    ]


def _differing_end(record: Mapping[str, Any], score: float | None, decided: Decided) -> list[Json]:
    differences: list[Json] = []
    recorded = record["score"]
    if (score is None) != (recorded is None) or (
        score is not None and abs(score - recorded) > SCORE_TOLERANCE
    ):
        differences.append({"where": "score", "recorded": recorded, "replayed": score})
    differences += [
        {"where": name, "recorded": was, "replayed": now}
        for name, was, now in differing_decision(record, decided)
    ]
    return differences


def _ignored_word(record: Mapping[str, Any], release: LoadedRelease) -> list[Json]:
    """The subject had opted out, and the answer took no notice of it."""
    consenting = release.consenting
    if consenting is None or not is_ignored(record, consenting.asked):
        return []
    return [{"where": "consent", "recorded": record["degraded"], "replayed": OPTED_OUT}]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
