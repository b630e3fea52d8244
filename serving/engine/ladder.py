"""The ladder of a release in memory: how points fall short, and what answers for them then.

Where nothing is missing, all that is asked of a point is whether its views are fresh: 0.3 us for
three of them. What the rungs are is declared (`core.degradation`).
"""

from __future__ import annotations

import math
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
from core.ports import ModelRunner
from serving.engine.features import Reading, ViewValues
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
        self._width = {view.name: len(view.feature_names) for view in plan.views}
        self.fallbacks = tuple(fallbacks)
        self.unscored = unscored_decider(degradation, plan)

    def lapses(self, readings: Sequence[Reading]) -> list[Lapse | None] | None:
        """How each point falls short of being fresh; None when no point does."""
        limits = self._limits.fresh_ms
        for reading in readings:
            for view, fresh_ms in limits:
                age_ms = reading[view].source_age_ms
                if age_ms is None or age_ms > fresh_ms:
                    return [self._lapse(each) for each in readings]
        return None

    def nothing(self, because: str, n_points: int) -> list[Lapse | None]:
        """Lapses where nothing could be read."""
        return [Lapse(frozenset(self._width), because)] * n_points

    def fallback(self, missing: Collection[str]) -> LoadedFallback | None:
        """The fallback that is asked where these views are missing."""
        chosen = fallback_for([each.without for each in self.fallbacks], missing)
        return None if chosen is None else self.fallbacks[chosen]

    def without(self, reading: Reading, lapse: Lapse | None) -> Reading:
        """The reading without what is too old: its values null, its status saying so."""
        if lapse is None or not lapse.missing:
            return reading
        return {
            view: self._expired(view, reading) if view in lapse.missing else values
            for view, values in reading.items()
        }

    def _lapse(self, reading: Reading) -> Lapse | None:
        return self._limits.lapse({view: read.source_age_ms for view, read in reading.items()})

    def _expired(self, view: str, reading: Reading) -> ViewValues:
        nulls = (math.nan,) * self._width[view]
        return reading[view]._replace(values=nulls, status=EXPIRED)
