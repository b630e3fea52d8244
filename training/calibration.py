"""Platt calibration: a line in log-odds, fitted on rows that nothing else was fitted to.

``score = sigmoid(slope * margin + intercept)``. The slope is kept positive, so the order
of scores never changes; targets are Platt's smoothed ones, so that a few positives do not
drive the slope to infinity.

References
----------
Platt (1999), "Probabilistic outputs for support vector machines", Advances in Large
Margin Classifiers, 61-74.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.features.plan import Frozen

SMALLEST_SLOPE = 0.05
STEPS = 50
CONVERGED = 1e-10
TINY = 1e-14

Array = NDArray[np.float64]


class Calibration(Frozen):
    """``sigmoid(slope * margin + intercept)``; the identity leaves a model as it is."""

    slope: float = 1.0
    intercept: float = 0.0

    def scores(self, margins: Array) -> Array:
        """Calibrated scores of margins (log-odds), in float64."""
        return sigmoid(self.slope * margins + self.intercept)


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))`` without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def fit_platt(margins: Array, labels: NDArray[np.integer], weights: Array) -> Calibration:
    """Calibration that fits ``labels`` best, by Newton steps on the weighted log loss.

    Parameters
    ----------
    margins, labels, weights
        Shape ``(n,)``; both classes present.
    """
    n_positive = float(np.sum(weights * labels))
    n_negative = float(np.sum(weights)) - n_positive
    targets = np.where(labels == 1, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    centre, spread = float(np.mean(margins)), float(np.std(margins)) or 1.0
    standard = np.stack([(margins - centre) / spread, np.ones_like(margins)])
    line = np.array([0.0, np.log((n_positive + 1) / (n_negative + 1))])
    loss = _loss(standard, line, targets, weights)
    for _ in range(STEPS):
        step = _newton_step(standard, line, targets, weights)
        while _loss(standard, line - step, targets, weights) > loss and np.abs(step).max() > TINY:
            step = step / 2
        line = line - step
        loss = _loss(standard, line, targets, weights)
        if np.abs(step).max() < CONVERGED:
            break
    slope = max(float(line[0]) / spread, SMALLEST_SLOPE)
    return Calibration(slope=slope, intercept=float(line[1]) - slope * centre)


def _loss(standard: Array, line: Array, targets: Array, weights: Array) -> float:
    margins = line @ standard
    return float(np.sum(weights * (np.logaddexp(0.0, margins) - targets * margins)))


def _newton_step(standard: Array, line: Array, targets: Array, weights: Array) -> Array:
    p = sigmoid(line @ standard)
    gradient = standard @ (weights * (p - targets))
    curvature = (standard * (weights * p * (1 - p))) @ standard.T
    curvature += 1e-9 * np.trace(curvature) * np.eye(2) + 1e-12 * np.eye(2)
    return np.asarray(np.linalg.solve(curvature, gradient), dtype=np.float64)
