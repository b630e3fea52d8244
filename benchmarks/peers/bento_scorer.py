"""BentoML with the model alone: ``bentoml serve bento_scorer:Scorer``; features in the body.

Runs in an environment of its own. ``BENCH_MODEL`` names the ONNX file.
"""

from __future__ import annotations

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=2, logging={"access": {"enabled": False}})
class Scorer:
    """One ONNX Runtime session a worker, one thread, asked on the loop."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)

    @bentoml.api  # type: ignore[untyped-decorator]  # no types here
    async def score(self, vector: list[float]) -> float:
        """Score of one vector."""
        vectors = np.array([vector], np.float32)
        return float(self.session.run(None, {"vector": vectors})[0][0, 0])
