"""Networks as training exports them, of any size, with drawn weights: what a score costs does not
depend on what they know."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

FRAUD_HIDDEN = (32, 16)
LARGE_HIDDEN = (4_096, 4_096, 2_048)
FITTED_ON, FRAUD_SHARE = 8_000, 0.05


def network_model(width: int, hidden: Sequence[int] = FRAUD_HIDDEN, *, seed: int = 5) -> bytes:
    """ONNX bytes of a network: standardisation, layers, calibration, score."""
    from training.calibration import Calibration
    from training.mlp import NetworkModel
    from training.models import Scorer
    from training.onnx_export import to_onnx
    from training.standard import Standard

    rng = np.random.default_rng(seed)
    sides = (width, *hidden, 1)
    layers = tuple(
        (rng.normal(0, (2 / a) ** 0.5, (a, b)), rng.normal(0, 0.1, b)) for a, b in pairwise(sides)
    )
    standard = Standard(
        np.full(width, 50.0), np.full(width, 200.0), np.full(width, 500.0), clip=5.0
    )
    model = NetworkModel(standard, layers)
    return to_onnx(Scorer(model, Calibration(slope=0.8, intercept=-1.0)), width)


def fraud_network(width: int, *, seed: int = 5) -> bytes:
    """ONNX bytes of the candidate ``mlp`` as training fits it, on drawn inputs of that width."""
    from training.calibration import Calibration
    from training.examples import Examples, Part
    from training.mlp import fit_network
    from training.models import Scorer
    from training.onnx_export import to_onnx

    rows = drawn_rows(FITTED_ON, width, seed=seed)
    labels = drawn_labels(rows, seed=seed).astype(np.int64)
    whole = Part(rows, labels, np.ones(len(rows)), np.arange(len(rows)))
    parts = [whole.take(np.arange(start, len(rows), 4)) for start in range(4)]
    names = tuple(f"input_{n}" for n in range(width))
    fitted = fit_network(Examples(names, *parts), seed=seed)
    return to_onnx(Scorer(fitted.model, Calibration()), width)


def trees_model(width: int, *, n_trees: int = 20, seed: int = 5) -> bytes:
    """ONNX bytes of a few boosted trees: what no GPU runs."""
    import xgboost

    from training.boosted import BoostedModel
    from training.calibration import Calibration
    from training.models import Scorer
    from training.onnx_export import to_onnx

    rows = drawn_rows(2_000, width, seed=seed)
    labels = np.random.default_rng(seed).random(len(rows)) < 0.2
    classifier = xgboost.XGBClassifier(n_estimators=n_trees, max_depth=4, n_jobs=1)
    booster = classifier.fit(rows, labels).get_booster()
    return to_onnx(Scorer(BoostedModel(booster), Calibration()), width)


def drawn_rows(n: int, width: int, *, seed: int) -> NDArray[np.float32]:
    """Heavy-tailed inputs with 5 % nulls, shape ``(n, width)``."""
    rng = np.random.default_rng(seed)
    rows = np.exp(rng.normal(4.0, 2.5, (n, width))).astype(np.float32)
    rows[rng.random((n, width)) < 0.05] = np.nan
    return rows


def drawn_labels(rows: NDArray[np.float32], *, seed: int) -> NDArray[np.bool_]:
    """Who of the rows is fraud: a third of the inputs say so, and noise, so there is a pattern."""
    signal = np.log1p(np.nan_to_num(rows))[:, ::3].sum(axis=1)
    signal = signal + np.random.default_rng(seed).normal(0, 4, len(rows))
    return np.asarray(signal > np.quantile(signal, 1 - FRAUD_SHARE))
