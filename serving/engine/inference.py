"""Inference: a model asked for scores of vectors that the caller brings, and nothing else.

No feature is read and nothing is decided, so nothing is recorded: a score that nobody decided
by needs no passport. It is counted. Whoever decides asks for a prediction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import IntegrityError
from serving.engine.tensors import Tensor, score_metadata, vector_metadata, vectors_of
from serving.errors import NotFoundError
from serving.models.releases import LoadedRelease, Releases
from serving.ports import DirectScorer, Json

PLATFORM = "onnxruntime_onnx"
SERVER: Json = {"name": "throughline", "version": "1", "extensions": ["binary_tensor_data"]}


class InferenceObserver(Protocol):
    """Where inferences are counted."""

    def inferred(self, use_case: str, channel: str, n_rows: int) -> None:
        """Count rows that were scored alone."""
        ...


class Inference:
    """Models by name and version: a use case and the number of one of its releases in memory."""

    def __init__(self, releases: Releases, observer: InferenceObserver) -> None:
        self._releases = releases
        self._observer = observer

    def is_ready(self) -> bool:
        """Whether any model can be asked."""
        return bool(self._releases.roster.use_cases)

    def metadata(self, name: str, version: str = "") -> Json:
        """What a model takes and answers, and which of its versions are in memory.

        Raises
        ------
        NotFoundError
            If there is no such model, or that version of it is not in memory.
        """
        _, release = self._found(name, version)
        loaded = self._releases.served(name).releases.values()
        vector = {
            **vector_metadata(release.plan),
            "parameters": {"columns": list(release.plan.vector)},
        }
        return {
            "name": name,
            "versions": sorted({str(each.manifest.release) for each in loaded}, key=int),
            "platform": PLATFORM,
            "inputs": [vector],
            "outputs": [score_metadata()],
        }

    async def infer(
        self, name: str, version: str, tensors: Sequence[Tensor]
    ) -> tuple[str, NDArray[np.float32]]:
        """Version that answered and its scores, shape ``(n,)``; the champion's if none is named.

        Raises
        ------
        NotFoundError
            If there is no such model, or that version of it is not in memory.
        BrokenContractError, ListTooLongError
            If the tensors are not the model's inputs.
        IntegrityError
            If the model answers what is no score.
        """
        channel, release = self._found(name, version)
        scores = await release.scorer.score(vectors_of(release.plan, tensors))
        _check_finite(scores)
        self._observer.inferred(name, channel, len(scores))
        return str(release.manifest.release), scores

    def at_once(self, name: str) -> LoadedRelease | None:
        """The champion, where nobody waits for it; None where there is no such model, too."""
        served = self._releases.roster.use_cases.get(name)
        if served is None or not isinstance(served.champion.scorer, DirectScorer):
            return None
        return served.champion

    def scored(
        self, name: str, release: LoadedRelease, vectors: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Scores, shape ``(n,)``, by a release that `at_once` gave, of vectors that are its own.

        Raises
        ------
        IntegrityError
            If the model answers what is no score.
        """
        scores = release.runner.score(vectors)
        _check_finite(scores)
        self._observer.inferred(name, "champion", len(scores))
        return scores

    def _found(self, name: str, version: str) -> tuple[str, LoadedRelease]:
        served = self._releases.served(name)
        if not version:
            return "champion", served.champion
        for channel, release in served.releases.items():
            if str(release.manifest.release) == version:
                return channel, release
        loaded = sorted({each.manifest.release for each in served.releases.values()})
        raise NotFoundError(
            "that version of the model is not in memory",
            found=f"in memory: {', '.join(map(str, loaded))}",
            remedy="use one of these, or leave the version out for the champion",
            code="unknown_version",
        )


def _check_finite(scores: NDArray[np.float32]) -> None:
    if not math.isfinite(np.add.reduce(scores)):  # what is no number stays in the sum
        raise IntegrityError(
            "a score is not a number",
            found="NaN or an infinity",
            remedy="roll back to a release that answers its golden points",
            code="score_not_finite",
        )
