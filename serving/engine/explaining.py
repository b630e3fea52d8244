"""Explanations as the engine sees them: asked for with a budget, late is an answer too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from serving.models.releases import LoadedRelease
from serving.ports import Json

Status = Literal["exact", "late", "unavailable", "not_offered"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Contributions to the log-odds of a score; they and ``base`` add up to it.

    ``status`` is ``exact``; ``late`` when the budget ran out; ``unavailable`` when the
    explainer failed; ``not_offered`` when the model declares that it has none.
    """

    status: Status
    base: float | None = None
    features: tuple[str, ...] = ()
    contributions: tuple[float, ...] = ()

    def to_json(self) -> Json:
        """As records keep it."""
        return {
            "status": self.status,
            "base": self.base,
            "contributions": dict(zip(self.features, self.contributions, strict=True)),
        }

    def top(self, vector: NDArray[np.float32], count: int) -> list[Json]:
        """The ``count`` largest contributions by magnitude, each with the value it is about."""
        order = sorted(range(len(self.features)), key=lambda i: -abs(self.contributions[i]))
        return [
            {
                "feature": self.features[i],
                "value": None if np.isnan(vector[i]) else float(vector[i]),
                "contribution": self.contributions[i],
            }
            for i in order[:count]
        ]


class Explaining(Protocol):
    """Who explains. Never raises: what went wrong is the status."""

    async def explain(
        self, release: LoadedRelease, vectors: Sequence[NDArray[np.float32]], *, budget_ms: int
    ) -> list[Explanation]:
        """One explanation a vector, within the budget or late."""
        ...
