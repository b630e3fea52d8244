"""Pictures of a candidate on the test part, as PNG bytes. No display, no global state.

matplotlib is imported on use.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from core.decisions import DecisionPolicy
from core.stats.metrics import (
    Ranked,
    area_under_roc,
    average_precision,
    precision_recall_curve,
    roc_curve,
)
from core.stats.reliability import reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE_INCHES = (6.0, 4.5)
DPI = 110
MAX_BARS = 20


def draw_all(
    curves: Mapping[str, Ranked],
    chosen: str,
    policy: DecisionPolicy,
    importance: Mapping[str, float],
) -> dict[str, bytes]:
    """Every plot by file name: curves of all candidates, the rest of the chosen one."""
    return {
        "precision_recall.png": precision_recall(curves),
        "roc.png": roc(curves),
        "calibration.png": calibration(curves[chosen]),
        "scores.png": score_histogram(curves[chosen], policy),
        "importance.png": feature_importance(importance),
    }


def precision_recall(curves: Mapping[str, Ranked]) -> bytes:
    """Precision against recall, one line a candidate."""
    figure, axes = _figure("Precision and recall, test part", "recall", "precision")
    for kind, rows in curves.items():
        precision, recall = precision_recall_curve(rows)
        axes.plot(recall, precision, label=f"{kind}: AP {average_precision(rows):.3f}")
    axes.set_ylim(0, 1.02)
    axes.legend()
    return _png(figure)


def roc(curves: Mapping[str, Ranked]) -> bytes:
    """True against false positives, one line a candidate."""
    figure, axes = _figure("ROC, test part", "false positive rate", "true positive rate")
    for kind, rows in curves.items():
        false_rate, true_rate = roc_curve(rows)
        axes.plot(false_rate, true_rate, label=f"{kind}: AUC {area_under_roc(rows):.3f}")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    axes.legend()
    return _png(figure)


def calibration(rows: Ranked) -> bytes:
    """Share of positives against mean score, in bins of equal count, both on log axes."""
    figure, axes = _figure("Calibration, test part", "mean score", "share of positives")
    bins = reliability(rows)
    is_drawn = (bins.share > 0) & (bins.score > 0)
    means, shares = bins.score[is_drawn], bins.share[is_drawn]
    if len(means):
        ends = [min(means.min(), shares.min()), 1.0]
        axes.loglog(means, shares, "o-")
        axes.loglog(ends, ends, color="grey", linewidth=0.8)
    return _png(figure)


def score_histogram(rows: Ranked, policy: DecisionPolicy) -> bytes:
    """Scores of negatives and positives, with the thresholds of the policy."""
    figure, axes = _figure("Scores, test part", "score", "rows")
    edges = np.linspace(0, 1, 41).tolist()
    for label, name in ((0, "negative"), (1, "positive")):
        axes.hist(rows.scores[rows.labels == label], bins=edges, alpha=0.6, label=name)
    for threshold in policy.thresholds:
        axes.axvline(threshold, color="black", linewidth=0.8)
    axes.set_yscale("log")
    axes.legend()
    return _png(figure)


def feature_importance(importance: Mapping[str, float]) -> bytes:
    """Mean absolute effect on the log-odds, the largest twenty."""
    figure, axes = _figure("Feature importance", "mean |effect| on the log-odds", "")
    largest = sorted(importance.items(), key=lambda item: item[1])[-MAX_BARS:]
    axes.barh([name for name, _ in largest], [value for _, value in largest])
    axes.tick_params(axis="y", labelsize=7)
    return _png(figure)


def _figure(title: str, x: str, y: str) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _png(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = BytesIO()
    # `savefig` would draw it twice.
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()
