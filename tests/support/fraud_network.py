"""A home that serves the network which fraud's candidate ``mlp`` fits, and one request for it."""

from __future__ import annotations

import httpx
import numpy as np
from numpy.typing import NDArray

from benchmarks.networks import fraud_network
from benchmarks.online_data import fraud
from benchmarks.online_model import put_on_shelf
from core.clock import SystemClock
from serving.models.runtime import OnnxSession
from stores.layout import Layout

REQUEST = {
    "entities": {"card_id": "c1", "terminal_id": "t1"},
    "inputs": {"amount_minor": 12_500},
}


def serve_fraud_network(layout: Layout) -> OnnxSession:
    """Put it on the shelf as the champion; the same model on the CPU."""
    use_case, plan = fraud()
    model = fraud_network(len(plan.vector))
    put_on_shelf(layout, use_case, plan, model, SystemClock().now_ms())
    return OnnxSession(model, len(plan.vector))


def scored(client: httpx.Client) -> tuple[float, NDArray[np.float32]]:
    """Score of one request, and the vector that its record says the model saw, as one row."""
    answer = client.post("/v1/fraud/predictions", json=REQUEST).raise_for_status().json()
    record = client.get(f"/v1/predictions/{answer['prediction_id']}").raise_for_status().json()
    seen = [np.nan if value is None else value for value in record["vector"]]
    return answer["score"], np.array([seen], dtype=np.float32)
