"""The ladder of a release in memory: how points fall short, and what answers for them then.

Where nothing is missing, all that is asked of a point is whether its views are fresh: 0.3 us for
three of them. What the rungs are is declared (`core.degradation`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.degradation import (
    EXPIRED,
    Degradation,
    Lapse,
    Limits,
    fallback_for,
    unscored_decider,
)
from core.features.plan import Plan
from core.packed_records import NONE
from core.ports import ModelRunner
from serving.engine.readings import Readings
from serving.ports import Scorer


@dataclass(frozen=True)
class LoadedFallback:
    """A smaller model in memory: what it does without, and which entries of the vector it takes."""

    without: frozenset[str]
    columns: NDArray[np.intp]
    runner: ModelRunner
    scorer: Scorer

    def vectors(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """What it takes of whole vectors."""
        return np.ascontiguousarray(vectors[:, self.columns])


class Ladder:
    """A declared ladder made ready for a release."""

    def __init__(
        self, degradation: Degradation, plan: Plan, fallbacks: Sequence[LoadedFallback]
    ) -> None:
        self._limits = Limits(degradation)
        self._views = tuple(view.name for view in plan.views)
        self.fallbacks = tuple(fallbacks)
        self.unscored = unscored_decider(degradation, plan)

    def lapses(self, readings: Readings) -> list[Lapse | None] | None:
        """How each point falls short of being fresh; None when no point does."""
        for view, fresh_ms in self._limits.fresh_ms:
            for age_ms in readings.source_ages_of(view):
                if age_ms == NONE or age_ms > fresh_ms:
                    return [self._lapse(ages_ms) for ages_ms in readings.source_ages_ms.T.tolist()]
        return None

    def nothing(self, because: str, n_points: int) -> list[Lapse | None]:
        """Lapses where nothing could be read."""
        return [Lapse(frozenset(self._views), because)] * n_points

    def fallback(self, missing: Collection[str]) -> LoadedFallback | None:
        """The fallback that is asked where these views are missing."""
        chosen = fallback_for([each.without for each in self.fallbacks], missing)
        return None if chosen is None else self.fallbacks[chosen]

    def without(self, readings: Readings, lapses: Sequence[Lapse | None]) -> Readings:
        """Readings without what is too old: its values null, its status saying so."""
        missing = [frozenset() if lapse is None else lapse.missing for lapse in lapses]
        return readings.without(missing, EXPIRED) if any(missing) else readings

    def _lapse(self, ages_ms: Sequence[int]) -> Lapse | None:
        named = zip(self._views, ages_ms, strict=True)
        return self._limits.lapse({view: None if ms == NONE else ms for view, ms in named})
