"""Outcomes: all that is known about the decided points of a pass, as columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.decisions import Decided
from serving.engine.contract import Point
from serving.engine.explaining import Explanation
from serving.engine.readings import Readings
from serving.ports import Json


class Outcomes:
    """What is known about the points of a pass, in order.

    Parameters
    ----------
    readings
        What was read, and computed of it: the ``vectors`` were made of its table.
    scores
        None where nothing could score.
    degraded
        None for a whole answer.
    """

    __slots__ = (
        "decided", "degraded", "explanations", "points", "readings", "scores", "vectors"
    )  # fmt: skip

    def __init__(
        self,
        points: Sequence[Point],
        readings: Readings,
        vectors: NDArray[np.float32],
        *,
        scores: Sequence[float | None],
        decided: Sequence[Decided],
        explanations: Sequence[Explanation | None],
        degraded: Sequence[Json | None],
    ) -> None:
        self.points = points
        self.readings = readings
        self.vectors = vectors
        self.scores = scores
        self.decided = decided
        self.explanations = explanations
        self.degraded = degraded

    def __len__(self) -> int:
        """How many points there are."""
        return len(self.points)

    def some(self, places: Sequence[int]) -> Outcomes:
        """Those of some of the points, in that order."""
        return Outcomes(
            [self.points[place] for place in places],
            self.readings.some(places),
            self.vectors.take(places, axis=0),
            scores=[self.scores[place] for place in places],
            decided=[self.decided[place] for place in places],
            explanations=[self.explanations[place] for place in places],
            degraded=[self.degraded[place] for place in places],
        )
