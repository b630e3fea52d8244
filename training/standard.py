"""Fill nulls, centre, scale, clip: what a model that is not a tree needs before it.

Fitted on the training part. The clip bounds what one absurd value can do to a linear
score, and keeps float32 from overflowing on the largest inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLIP = 20.0

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Standard:
    """Parameters of shape ``(d,)``. Rounded to float32, as the graph holds them."""

    fill: Array
    centre: Array
    scale: Array
    clip: float = CLIP

    def apply(self, vectors: NDArray[np.float32]) -> Array:
        """Standardised values in float64, shape ``(n, d)``; no nulls."""
        filled = np.where(np.isnan(vectors), self.fill, vectors.astype(np.float64))
        return np.clip((filled - self.centre) / self.scale, -self.clip, self.clip)


def fit_standard(vectors: NDArray[np.float32], clip: float = CLIP) -> Standard:
    """Median for nulls, mean and standard deviation after filling; a constant has scale 1."""
    known = np.isfinite(vectors)
    columns = [vectors[known[:, i], i].astype(np.float64) for i in range(vectors.shape[1])]
    fill = _float32([np.median(column) if len(column) else 0.0 for column in columns])
    filled = np.where(known, vectors.astype(np.float64), fill)
    scale = _float32(filled.std(axis=0))
    return Standard(fill, _float32(filled.mean(axis=0)), np.where(scale > 0, scale, 1.0), clip)


def _float32(values: Array | list[float]) -> Array:
    return np.asarray(values, dtype=np.float32).astype(np.float64)
