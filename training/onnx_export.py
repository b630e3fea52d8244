"""From a fitted model to the one graph that is served: margin, calibration, score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stores.onnx_sessions import onnx_session
from stores.shelf.bundle import MODEL_INPUT, MODEL_OUTPUT
from training.graph import GraphBuilder
from training.models import Scorer

BATCH_ROWS = 8_192


def to_onnx(scorer: Scorer, n_features: int) -> bytes:
    """ONNX model of a scorer: float32 ``(n, d)`` in, calibrated float32 ``(n, 1)`` out.

    Opset 18 and ai.onnx.ml 3; calibration is three nodes at the end, so that nobody can
    serve the model and forget it.
    """
    graph = GraphBuilder(n_features)
    margin = scorer.model.add_margin(graph, MODEL_INPUT)
    scaled = graph.add("Mul", margin, graph.constant(scorer.calibration.slope))
    shifted = graph.add("Add", scaled, graph.constant(scorer.calibration.intercept))
    return graph.finish(graph.add("Sigmoid", shifted))


class OnnxScorer:
    """An ONNX model, run as the service and the Spark workers run it."""

    def __init__(self, model: bytes) -> None:
        self._session = onnx_session(model)

    @property
    def n_features(self) -> int:
        """Width of the vector that the model takes."""
        return int(self._session.get_inputs()[0].shape[1])

    def scores(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores, shape ``(n,)``, of vectors of shape ``(n, d)``."""
        answers = [
            self._session.run([MODEL_OUTPUT], {MODEL_INPUT: vectors[start : start + BATCH_ROWS]})[0]
            for start in range(0, len(vectors), BATCH_ROWS)
        ]
        return np.concatenate(answers).reshape(-1) if answers else np.empty(0, np.float32)
