"""Outcomes: all that is known about the decided points of a pass, as columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.decisions import Decided
from core.features.value_table import ValueTable
from serving.engine.contract import Point
from serving.engine.explaining import Explanation
from serving.engine.readings import Reading, Readings
from serving.ports import Json


class Outcome(NamedTuple):
    """All that is known about one decided point. ``rule`` is the place of the one that fired.

    ``transforms`` are the outputs of all transforms in the plan's order. ``score`` is None where
    nothing could score.
    """

    point: Point
    reading: Reading
    transforms: Sequence[float]
    vector: NDArray[np.float32]
    score: float | None
    rule: int | None
    decision: str
    reason: str
    explanation: Explanation | None
    degraded: Json | None


class Outcomes(Sequence[Outcome]):
    """What is known about the points of a pass, in order; of one by itself where it is asked for.

    Parameters
    ----------
    values
        What was read and computed, and the ``vectors`` made of it.
    """

    __slots__ = (
        "decided", "degraded", "explanations", "points", "readings", "scores", "values", "vectors"
    )  # fmt: skip

    def __init__(
        self,
        points: Sequence[Point],
        readings: Readings,
        values: ValueTable,
        vectors: NDArray[np.float32],
        *,
        scores: Sequence[float | None],
        decided: Sequence[Decided],
        explanations: Sequence[Explanation | None],
        degraded: Sequence[Json | None],
    ) -> None:
        self.points = points
        self.readings = readings
        self.values = values
        self.vectors = vectors
        self.scores = scores
        self.decided = decided
        self.explanations = explanations
        self.degraded = degraded

    def __len__(self) -> int:
        """How many points there are."""
        return len(self.points)

    def __getitem__(self, place: int) -> Outcome:  # type: ignore[override]
        """What is known about one point."""
        return Outcome(
            self.points[place],
            self.readings[place],
            self.values.made(place),
            self.vectors[place],
            self.scores[place],
            *self.decided[place],
            self.explanations[place],
            self.degraded[place],
        )

    def __iter__(self) -> Iterator[Outcome]:
        """What is known about each point."""
        return map(self.__getitem__, range(len(self)))

    def some(self, places: Sequence[int]) -> Outcomes:
        """Those of some of the points, in that order."""
        return Outcomes(
            [self.points[place] for place in places],
            self.readings.some(places),
            self.values.some(places),
            self.vectors.take(places, axis=0),
            scores=[self.scores[place] for place in places],
            decided=[self.decided[place] for place in places],
            explanations=[self.explanations[place] for place in places],
            degraded=[self.degraded[place] for place in places],
        )
