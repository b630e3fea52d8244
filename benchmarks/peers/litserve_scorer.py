"""LitServe with the model alone: ``python litserve_scorer.py PORT MODEL``; features in the body.

Runs in an environment of its own. LitServe reads annotations, so they are objects here.
"""

import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime


class Api(litserve.LitAPI):  # type: ignore[misc]  # no types here
    """One ONNX Runtime session a worker, one thread."""

    def setup(self, device: str) -> None:
        """Load the model, once a worker."""
        del device
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[2], options)

    def decode_request(self, request: dict[str, Any]) -> Any:
        """Body to vector."""
        return np.array([request["vector"]], np.float32)

    def predict(self, vectors: Any) -> float:
        """Score of one vector."""
        return float(self.session.run(None, {"vector": vectors})[0][0, 0])

    def encode_response(self, score: float) -> dict[str, float]:
        """Score to body."""
        return {"score": score}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=2)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
    )
