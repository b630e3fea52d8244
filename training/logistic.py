"""The linear baseline: logistic regression on standardised values, one float32 graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from core.errors import IntegrityError
from core.features.plan import canonical_json
from core.stats.metrics import METRICS, ranked
from stores.explainer import ExplainerSpec, LinearForm
from training.calibration import Calibration
from training.examples import Examples, Part
from training.graph import GraphBuilder, add_standard
from training.models import Array, Fit
from training.standard import Standard, fit_standard

PENALTIES = (1.0, 0.1, 0.01)  # scikit-learn's C: smaller is stronger
MAX_STEPS = 400
SAME = 1e-6


@dataclass(frozen=True)
class LinearModel:
    """Weights on standardised values."""

    form: LinearForm
    kind: str = "logistic"

    @property
    def standard(self) -> Standard:
        """The standardisation before the weights."""
        form = self.form
        return Standard(
            np.asarray(form.fill), np.asarray(form.centre), np.asarray(form.scale), form.clip
        )

    def margins(self, vectors: NDArray[np.float32]) -> Array:
        """Log-odds in float64, shape ``(n,)``."""
        margins: Array = self.standard.apply(vectors) @ np.asarray(self.form.weight)
        return margins + self.form.bias

    def add_margin(self, graph: GraphBuilder, vector: str) -> str:
        """Nodes of the margin."""
        form = self.form
        values = add_standard(graph, vector, form.fill, form.centre, form.scale, form.clip)
        weight = graph.constant(np.asarray(form.weight).reshape(-1, 1))
        return graph.add("Gemm", values, weight, graph.constant(np.asarray([form.bias])))

    def importance(self, sample: Part) -> Array:
        """Mean absolute contribution of each feature."""
        effects: Array = np.abs(self.standard.apply(sample.vectors) * self.form.weight)
        return np.asarray(effects.mean(axis=0))

    def explainer(self, names: tuple[str, ...], calibration: Calibration) -> ExplainerSpec:
        """Linear contributions."""
        return ExplainerSpec(
            kind="linear",
            features=names,
            slope=calibration.slope,
            intercept=calibration.intercept,
            linear=self.form,
        )

    def save(self, directory: Path) -> None:
        """Write ``linear.json``."""
        (directory / "linear.json").write_text(canonical_json(self.form.model_dump(mode="json")))


def load_linear(directory: Path) -> LinearModel:
    """Model that ``LinearModel.save`` wrote."""
    return LinearModel(LinearForm.model_validate_json((directory / "linear.json").read_bytes()))


def fit_logistic(examples: Examples, metric: str) -> Fit:
    """Fit each penalty on the training part; keep the best by ``metric`` on the stop part."""
    standard = fit_standard(examples.train.vectors)
    values = standard.apply(examples.train.vectors)
    fits = [_fit_one(standard, values, examples, penalty) for penalty in PENALTIES]
    quality = [_quality(fit, examples.stop, metric) for fit in fits]
    best = int(np.argmax(quality))
    return Fit(fits[best], {"C": PENALTIES[best], f"stop_{metric}": quality[best]})


def _fit_one(standard: Standard, values: Array, examples: Examples, penalty: float) -> LinearModel:
    train = examples.train
    estimator = LogisticRegression(C=penalty, max_iter=MAX_STEPS)
    estimator.fit(values, train.labels, sample_weight=train.weights)
    form = LinearForm(
        fill=tuple(standard.fill.tolist()),
        centre=tuple(standard.centre.tolist()),
        scale=tuple(standard.scale.tolist()),
        weight=tuple(estimator.coef_[0].tolist()),
        bias=float(estimator.intercept_[0]),
        clip=standard.clip,
    )
    model = LinearModel(form)
    _check_same(model.margins(examples.stop.vectors), estimator, standard, examples.stop)
    return model


def _quality(model: LinearModel, part: Part, metric: str) -> float:
    rows = ranked(model.margins(part.vectors), part.labels, part.weights)
    return METRICS[metric](rows)


def _check_same(
    margins: Array, estimator: LogisticRegression, standard: Standard, part: Part
) -> None:
    expected = estimator.decision_function(standard.apply(part.vectors))
    difference = float(np.abs(margins - expected).max())
    if difference > SAME:
        raise IntegrityError(
            "the weights taken from scikit-learn are not its model",
            found=f"margins off by {difference:.3g}",
            remedy="report this with the versions of scikit-learn and numpy",
        )
