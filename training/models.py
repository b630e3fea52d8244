"""What a fitted model is here: margins, a graph, and files without pickle.

A margin is a log-odds before calibration. Each kind can say its margins in its own
library or in float64 (the source that ONNX is compared with), put its ONNX nodes into a
graph, and be written to and read from a folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stores.explainer import ExplainerSpec
from training.calibration import Calibration
from training.examples import Part
from training.graph import GraphBuilder

Array = NDArray[np.float64]


class Model(Protocol):
    """A fitted model of one kind."""

    @property
    def kind(self) -> str:
        """Name of the kind, as declared in ``ModelSpec.candidates``."""
        ...

    def margins(self, vectors: NDArray[np.float32]) -> Array:
        """Log-odds, shape ``(n,)``, of vectors of shape ``(n, d)``; NaN is null."""
        ...

    def add_margin(self, graph: GraphBuilder, vector: str) -> str:
        """Add the nodes that compute margins from ``vector``; return their output's name."""
        ...

    def importance(self, sample: Part) -> Array:
        """Mean absolute effect of each feature on the margin, shape ``(d,)``."""
        ...

    def explainer(self, names: tuple[str, ...], calibration: Calibration) -> ExplainerSpec:
        """What the bundle can say about contributions."""
        ...

    def save(self, directory: Path) -> None:
        """Write the model's files."""
        ...


@dataclass(frozen=True)
class Fit:
    """A model with the settings that were found for it."""

    model: Model
    settings: dict[str, float | int | str]


@dataclass(frozen=True)
class Scorer:
    """The source: a model and its calibration, as training knows them."""

    model: Model
    calibration: Calibration

    def scores(self, vectors: NDArray[np.float32]) -> Array:
        """Scores in float64, shape ``(n,)``."""
        return self.calibration.scores(self.model.margins(vectors))
