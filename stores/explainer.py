"""Why a score is what it is: exact contributions in log-odds, for the champion's kind.

For trees, TreeSHAP by xgboost; for a linear model, coefficient times standardised value.
Calibration is a line in log-odds, so contributions are scaled by its slope and add up to
the calibrated log-odds exactly. A model of another kind declares ``none``: an honest
silence, not a surrogate. xgboost is imported only when a tree explainer is loaded, which
the service does in a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.features.plan import Frozen
from stores.shelf.bundle import BOOSTER, EXPLAINER


class LinearForm(Frozen):
    """A linear model on standardised values: ``clip((x - centre) / scale) * weight``.

    A null takes ``fill`` first. The contribution of a feature at its centre is zero.
    """

    fill: tuple[float, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]
    bias: float
    clip: float


class ExplainerSpec(Frozen):
    """``explainer.json``. ``slope`` and ``intercept`` are the calibration in log-odds."""

    kind: Literal["tree", "linear", "none"]
    features: tuple[str, ...]
    slope: float
    intercept: float
    linear: LinearForm | None = None


class Explainer(Protocol):
    """Contributions to the calibrated log-odds of the score."""

    features: tuple[str, ...]

    def contributions(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Shape ``(n, d + 1)`` for vectors of shape ``(n, d)``; the last column is the base.

        A row adds up to ``log(score / (1 - score))``.
        """
        ...


class TreeExplainer:
    """Exact TreeSHAP of a boosted model."""

    def __init__(self, spec: ExplainerSpec, booster: bytes) -> None:
        import xgboost

        self.features = spec.features
        self._spec = spec
        self._matrix: Any = xgboost.DMatrix
        self._booster: Any = xgboost.Booster(params={"nthread": 1})
        self._booster.load_model(bytearray(booster))

    def contributions(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Shape ``(n, d + 1)``; see ``Explainer``."""
        matrix = self._matrix(vectors, missing=np.nan, nthread=1)
        raw = self._booster.predict(matrix, pred_contribs=True)
        return _calibrated(np.asarray(raw, dtype=np.float64), self._spec)


class LinearExplainer:
    """Contributions of a linear model on standardised values."""

    def __init__(self, spec: ExplainerSpec, form: LinearForm) -> None:
        self.features = spec.features
        self._spec = spec
        self._form = form

    def contributions(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Shape ``(n, d + 1)``; see ``Explainer``."""
        form = self._form
        filled = np.where(np.isnan(vectors), form.fill, vectors.astype(np.float64))
        standard = np.clip((filled - form.centre) / form.scale, -form.clip, form.clip)
        base = np.full((len(vectors), 1), form.bias)
        return _calibrated(np.hstack([standard * np.asarray(form.weight), base]), self._spec)


def load_explainer(files: Mapping[str, bytes]) -> Explainer | None:
    """Explainer of a bundle's files; None where the model declares that it has none.

    Raises
    ------
    InvalidInputError
        If the files do not hold what ``explainer.json`` says.
    """
    spec = ExplainerSpec.model_validate_json(files[EXPLAINER])
    if spec.kind == "none":
        return None
    if spec.kind == "tree" and BOOSTER in files:
        return TreeExplainer(spec, files[BOOSTER])
    if spec.kind == "linear" and spec.linear is not None:
        return LinearExplainer(spec, spec.linear)
    raise InvalidInputError(
        "an explainer lacks its model",
        found=f"kind {spec.kind} alone",
        remedy="build the bundle again",
        code="explainer_incomplete",
    )


def _calibrated(raw: NDArray[np.float64], spec: ExplainerSpec) -> NDArray[np.float64]:
    scaled = raw * spec.slope
    scaled[:, -1] += spec.intercept
    return scaled
