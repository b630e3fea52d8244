"""Boosted trees of benchmarks: what a score costs depends on their number and depth alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TREES, DEPTH = 200, 6
THREADS = 2


def trained_trees(
    vectors: NDArray[np.float32], labels: NDArray[np.bool_] | NDArray[np.int32]
) -> bytes:
    """ONNX bytes of trees by xgboost, exported as training does."""
    import xgboost

    from training.boosted import BoostedModel
    from training.calibration import Calibration
    from training.models import Scorer
    from training.onnx_export import to_onnx

    settings = {
        "objective": "binary:logistic",
        "max_depth": DEPTH,
        "learning_rate": 0.1,
        "tree_method": "hist",
        "nthread": THREADS,
        "seed": 1,
    }
    matrix = xgboost.QuantileDMatrix(vectors, labels, missing=np.nan)
    booster = xgboost.train(settings, matrix, num_boost_round=TREES)
    return to_onnx(Scorer(BoostedModel(booster), Calibration()), vectors.shape[1])
