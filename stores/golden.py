"""Golden points: vectors with the scores that a release must answer before it is swapped in.

They are drawn from declared ranges, never a subject's row, so they may lie open on the
shelf. JSON has no NaN: null stands for it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.errors import IntegrityError
from core.features.plan import Frozen

# Other processors and other builds of the runtime add in another order: about 1e-6.
TOLERANCE = 1e-5


class Golden(Frozen):
    """Vectors (null is NaN), the score of each, and the largest difference allowed."""

    vectors: tuple[tuple[float | None, ...], ...]
    scores: tuple[float, ...]
    tolerance: float = TOLERANCE

    def inputs(self) -> NDArray[np.float32]:
        """Vectors as the model takes them, shape ``(n, d)``."""
        rows = [[np.nan if v is None else v for v in vector] for vector in self.vectors]
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), -1)

    def check(self, scores: NDArray[np.floating]) -> float:
        """Largest difference between ``scores`` and what is written here.

        Raises
        ------
        IntegrityError
            If it exceeds the tolerance, is not a number, or the count is another.
        """
        expected = np.asarray(self.scores, dtype=np.float64)
        answered = np.asarray(scores, dtype=np.float64).reshape(-1)
        if answered.shape != expected.shape:
            raise IntegrityError(
                "the model answers another number of golden points",
                found=f"{answered.size} scores for {expected.size} points",
                remedy="keep the release that is served and build this one again",
                code="golden_points",
            )
        difference = float(np.max(np.abs(answered - expected), initial=0.0))
        if not difference <= self.tolerance:
            raise IntegrityError(
                "the model does not answer its golden points",
                found=f"a score off by {difference:.3g}, allowed {self.tolerance:.3g}",
                remedy="keep the release that is served; compare versions of the runtime",
                code="golden_points",
            )
        return difference


def golden_of(vectors: NDArray[np.float32], scores: NDArray[np.floating]) -> Golden:
    """Golden points of ``vectors`` (shape ``(n, d)``) and the ``scores`` they were given.

    Examples
    --------
    >>> golden_of(np.array([[1.5, np.nan]], dtype=np.float32), np.array([0.25])).vectors
    ((1.5, None),)
    """
    rows = tuple(
        tuple(None if np.isnan(value) else float(value) for value in vector) for vector in vectors
    )
    return Golden(vectors=rows, scores=tuple(float(score) for score in scores))
