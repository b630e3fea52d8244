"""Answers by the rungs of a bundle's ladder, computed again from recorded vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.decisions import Decided, Decider
from core.degradation import Rung, unscored_decider
from stores.shelf.bundle import Bundle
from training.onnx_export import OnnxScorer


@dataclass(frozen=True)
class Answered:
    """What a rung makes of vectors: scores, shape ``(n,)``, or none, and what decides by them."""

    scores: NDArray[np.float64] | None
    decider: Decider

    def decided(self, values: Mapping[str, NDArray[np.float64]], n: int) -> list[Decided]:
        """Decisions about ``n`` points of these values by qualified name, shape ``(n,)`` each."""
        if self.scores is None:
            return self.decider.decide_unscored(values, n)
        return self.decider.decide(self.scores, values)


def answered_from(
    rung: Rung | None, bundle: Bundle, vectors: NDArray[np.float32]
) -> Answered | None:
    """Answer of a rung, as `core.degradation.rung_taken` gives it; None where there is none such.

    ``vectors`` are whole ones of the plan, shape ``(n, d)``; NaN is null.
    """
    manifest = bundle.manifest
    if rung is None:
        return None
    if not rung.is_scored:
        ladder = manifest.degradation
        return None if ladder is None else Answered(None, unscored_decider(ladder, manifest.plan))
    model = bundle.model
    if rung.fallback is not None:
        facts = manifest.fallbacks[rung.fallback]
        columns = [manifest.plan.vector.index(name) for name in facts.reads]
        model, vectors = bundle.files[facts.model], np.ascontiguousarray(vectors[:, columns])
    scores = OnnxScorer(model).scores(vectors).astype(np.float64)
    return Answered(scores, Decider.of(manifest.decisions, manifest.plan))
