"""Boosted trees by xgboost: null is missing, early stopping, settings found by Optuna.

One thread and one seed throughout: the same snapshot gives the same trees.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import xgboost
from numpy.typing import NDArray

from core.stats.metrics import METRICS, ranked
from stores.explainer import ExplainerSpec
from stores.shelf.bundle import BOOSTER
from training.calibration import Calibration
from training.examples import Examples, Part
from training.graph import ML_DOMAIN, GraphBuilder
from training.models import Array, Fit

MAX_ROUNDS = 400
PATIENCE_ROUNDS = 30
FIRST_TRIAL = {
    "max_depth": 6,
    "learning_rate": 0.1,
    "min_child_weight": 1.0,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "reg_lambda": 1.0,
}

Progress = Callable[[str], None]


@dataclass(frozen=True)
class BoostedModel:
    """A booster cut at its best round."""

    booster: xgboost.Booster
    kind: str = "xgboost"

    def margins(self, vectors: NDArray[np.float32]) -> Array:
        """Log-odds by xgboost itself, shape ``(n,)``."""
        margins = self.booster.predict(_matrix(vectors), output_margin=True)
        return np.asarray(margins, dtype=np.float64)

    def add_margin(self, graph: GraphBuilder, vector: str) -> str:
        """One node with all trees."""
        attributes = tree_attributes(self.booster)
        return graph.add("TreeEnsembleRegressor", vector, domain=ML_DOMAIN, **attributes)

    def importance(self, sample: Part) -> Array:
        """Mean absolute SHAP value of each feature."""
        contributions = self.booster.predict(_matrix(sample.vectors), pred_contribs=True)
        return np.asarray(np.abs(contributions[:, :-1]).mean(axis=0), dtype=np.float64)

    def explainer(self, names: tuple[str, ...], calibration: Calibration) -> ExplainerSpec:
        """Exact TreeSHAP, with the booster beside it."""
        return ExplainerSpec(
            kind="tree",
            features=names,
            slope=calibration.slope,
            intercept=calibration.intercept,
        )

    def save(self, directory: Path) -> None:
        """Write the booster as UBJSON."""
        (directory / BOOSTER).write_bytes(bytes(self.booster.save_raw("ubj")))


def load_boosted(directory: Path) -> BoostedModel:
    """Model that ``BoostedModel.save`` wrote."""
    return booster_of((directory / BOOSTER).read_bytes())


def booster_of(content: bytes) -> BoostedModel:
    """Model in the bytes of a booster, as a bundle holds them."""
    booster = xgboost.Booster(params={"nthread": 1})
    booster.load_model(bytearray(content))
    return BoostedModel(booster)


def fit_boosted(
    examples: Examples, metric: str, *, seed: int, trials: int, progress: Progress
) -> Fit:
    """Boosted trees with the settings that do best by ``metric`` on the stop part.

    Parameters
    ----------
    examples
        Trees are grown on ``train``; ``stop`` ends them and chooses among the trials.
    metric
        Name in ``core.stats.metrics.METRICS``, larger is better.
    seed
        Of xgboost and of the search.
    trials
        Settings to try, at least 1; the first is a plain default.
    progress
        Told one sentence a trial.
    """
    train, stop = examples.train, examples.stop
    grown = xgboost.QuantileDMatrix(
        train.vectors, train.labels, weight=train.weights, missing=np.nan, nthread=1
    )
    watched = xgboost.QuantileDMatrix(
        stop.vectors, stop.labels, weight=stop.weights, missing=np.nan, nthread=1, ref=grown
    )
    boosters: dict[int, xgboost.Booster] = {}

    def objective(trial: optuna.Trial) -> float:
        booster = _grow(_settings(trial, seed), grown, watched)
        boosters[trial.number] = booster
        model = BoostedModel(booster)
        quality = METRICS[metric](ranked(model.margins(stop.vectors), stop.labels, stop.weights))
        rounds = booster.num_boosted_rounds()
        progress(
            f"xgboost trial {trial.number + 1}/{trials}: {metric} {quality:.4f}, {rounds} trees"
        )
        return quality

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(FIRST_TRIAL)
    study.optimize(objective, n_trials=max(trials, 1))
    booster = boosters[study.best_trial.number]
    settings = dict(study.best_params) | {
        "rounds": booster.num_boosted_rounds(),
        f"stop_{metric}": float(study.best_value),
    }
    return Fit(BoostedModel(booster), settings)


def _settings(trial: optuna.Trial, seed: int) -> dict[str, Any]:
    return {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "nthread": 1,
        "seed": seed,
        "max_depth": trial.suggest_int("max_depth", 3, 8),
        "learning_rate": trial.suggest_float("learning_rate", 0.04, 0.3, log=True),
        "min_child_weight": trial.suggest_float("min_child_weight", 0.1, 10.0, log=True),
        "subsample": trial.suggest_float("subsample", 0.6, 1.0),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.5, 1.0),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 30.0, log=True),
    }


def _grow(settings: dict[str, Any], grown: Any, watched: Any) -> xgboost.Booster:
    booster = xgboost.train(
        settings,
        grown,
        num_boost_round=MAX_ROUNDS,
        evals=[(watched, "stop")],
        early_stopping_rounds=PATIENCE_ROUNDS,
        verbose_eval=False,
    )
    return booster[: booster.best_iteration + 1]


def _matrix(vectors: NDArray[np.float32]) -> xgboost.DMatrix:
    return xgboost.DMatrix(vectors, missing=np.nan, nthread=1)


def tree_attributes(booster: xgboost.Booster) -> dict[str, Any]:
    """Attributes of ONNX's ``TreeEnsembleRegressor`` for a booster of log-odds.

    xgboost goes left where ``value < threshold`` and where it declared so for a missing
    value; both have an exact counterpart in ONNX, and thresholds and leaves are float32
    on both sides.
    """
    document = json.loads(bytes(booster.save_raw("json")))
    learner = document["learner"]
    trees = learner["gradient_booster"]["model"]["trees"]
    rows = [
        _node(tree_id, node, tree)
        for tree_id, tree in enumerate(trees)
        for node in range(len(tree["left_children"]))
    ]
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    leaves = [row for row in rows if row["nodes_modes"] == "LEAF"]
    return columns | {
        "n_targets": 1,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "base_values": [_base_margin(learner["learner_model_param"]["base_score"])],
        "target_treeids": [row["nodes_treeids"] for row in leaves],
        "target_nodeids": [row["nodes_nodeids"] for row in leaves],
        "target_ids": [0] * len(leaves),
        "target_weights": [
            trees[row["nodes_treeids"]]["split_conditions"][row["nodes_nodeids"]] for row in leaves
        ],
    }


def _node(tree_id: int, node: int, tree: dict[str, Any]) -> dict[str, Any]:
    is_leaf = tree["left_children"][node] == -1
    return {
        "nodes_treeids": tree_id,
        "nodes_nodeids": node,
        "nodes_featureids": 0 if is_leaf else tree["split_indices"][node],
        "nodes_modes": "LEAF" if is_leaf else "BRANCH_LT",
        "nodes_values": 0.0 if is_leaf else tree["split_conditions"][node],
        "nodes_truenodeids": 0 if is_leaf else tree["left_children"][node],
        "nodes_falsenodeids": 0 if is_leaf else tree["right_children"][node],
        "nodes_missing_value_tracks_true": 0 if is_leaf else int(tree["default_left"][node]),
    }


def _base_margin(spelled: str) -> float:
    share = float(spelled.strip("[]"))
    return float(np.log(share) - np.log1p(-share))
