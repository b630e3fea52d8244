"""Metrics as people say them."""

from collections.abc import Mapping

METRICS: Mapping[str, str] = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "ece": "Calibration error",
}
