"""A small network: the kind whose every operator a GPU can run.

scikit-learn's network, stepped one pass at a time so that our stop part, not a random
share of the training part, ends the fitting. Its contributions are not exact by any
cheap method, so its explainer declares ``none``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from core.features.plan import canonical_json
from core.stats.metrics import log_loss, ranked
from stores.explainer import ExplainerSpec
from training.calibration import Calibration, sigmoid
from training.examples import Examples, Part
from training.graph import GraphBuilder, add_standard
from training.models import Array, Fit
from training.standard import Standard, fit_standard

HIDDEN = (32, 16)
BATCH_ROWS = 256
MAX_PASSES = 30
PATIENCE_PASSES = 4
LEARNING_RATE = 1e-3
PENALTY = 1e-4
INPUT_CLIP = 5.0  # a network extrapolates without bound; a linear model can afford more

Layer = tuple[Array, Array]


@dataclass(frozen=True)
class NetworkModel:
    """Standardised values, layers of (weights, biases) with ReLU between, one margin."""

    standard: Standard
    layers: tuple[Layer, ...]
    kind: str = "mlp"

    def margins(self, vectors: NDArray[np.float32]) -> Array:
        """Log-odds in float64, shape ``(n,)``."""
        values = self.standard.apply(vectors)
        for weights, biases in self.layers[:-1]:
            values = np.maximum(values @ weights + biases, 0.0)
        weights, biases = self.layers[-1]
        return (values @ weights + biases)[:, 0]

    def add_margin(self, graph: GraphBuilder, vector: str) -> str:
        """Nodes of the standardisation and of every layer."""
        standard = self.standard
        values = add_standard(
            graph, vector, standard.fill, standard.centre, standard.scale, standard.clip
        )
        for index, (weights, biases) in enumerate(self.layers):
            values = graph.add("Gemm", values, graph.constant(weights), graph.constant(biases))
            if index < len(self.layers) - 1:
                values = graph.add("Relu", values)
        return values

    def importance(self, sample: Part) -> Array:
        """Mean absolute change of the margin when a feature is set to its centre."""
        before = self.margins(sample.vectors)
        effects = []
        for index in range(sample.vectors.shape[1]):
            without = sample.vectors.copy()
            without[:, index] = self.standard.centre[index]
            effects.append(np.abs(self.margins(without) - before).mean())
        return np.asarray(effects)

    def explainer(self, names: tuple[str, ...], calibration: Calibration) -> ExplainerSpec:
        """No contributions."""
        return ExplainerSpec(
            kind="none",
            features=names,
            slope=calibration.slope,
            intercept=calibration.intercept,
        )

    def save(self, directory: Path) -> None:
        """Write ``network.json``."""
        standard = self.standard
        document = {
            "fill": standard.fill.tolist(),
            "centre": standard.centre.tolist(),
            "scale": standard.scale.tolist(),
            "clip": standard.clip,
            "layers": [[weights.tolist(), biases.tolist()] for weights, biases in self.layers],
        }
        (directory / "network.json").write_text(canonical_json(document))


def load_network(directory: Path) -> NetworkModel:
    """Model that ``NetworkModel.save`` wrote."""
    document = json.loads((directory / "network.json").read_text())
    layers = tuple((np.asarray(w), np.asarray(b)) for w, b in document.pop("layers"))
    clip = document.pop("clip")
    return NetworkModel(
        Standard(clip=clip, **{k: np.asarray(v) for k, v in document.items()}), layers
    )


def fit_network(examples: Examples, *, seed: int) -> Fit:
    """Network with the lowest log loss on the stop part."""
    train = examples.train
    standard = fit_standard(train.vectors, clip=INPUT_CLIP)
    values = standard.apply(train.vectors)
    network = MLPClassifier(
        HIDDEN,
        alpha=PENALTY,
        batch_size=min(BATCH_ROWS, len(train)),
        learning_rate_init=LEARNING_RATE,
        random_state=seed,
    )
    best, best_loss, best_pass = None, np.inf, 0
    for number in range(1, MAX_PASSES + 1):
        network.partial_fit(values, train.labels, train.weights, classes=[0, 1])
        model = NetworkModel(standard, _layers(network))
        loss = _stop_loss(model, examples.stop)
        if best is None or loss < best_loss:
            best, best_loss, best_pass = model, loss, number
        if number - best_pass >= PATIENCE_PASSES:
            break
    assert best is not None  # noqa: S101 - the loop runs at least once
    return Fit(best, {"passes": best_pass, "stop_log_loss": float(best_loss)})


def _layers(network: MLPClassifier) -> tuple[Layer, ...]:
    pairs = zip(network.coefs_, network.intercepts_, strict=True)
    return tuple((weights.copy(), biases.copy()) for weights, biases in pairs)


def _stop_loss(model: NetworkModel, stop: Part) -> float:
    return log_loss(ranked(sigmoid(model.margins(stop.vectors)), stop.labels, stop.weights))
