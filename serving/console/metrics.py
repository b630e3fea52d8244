"""Metrics as people say them."""

from __future__ import annotations

import re
from collections.abc import Mapping

METRICS: Mapping[str, str] = {
    "auc": "AUC",
    "average_precision": "Average precision",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "ece": "Calibration error",
}
_NAMED = re.compile(rf"\b({'|'.join(METRICS)})\b")


def sentence(because: str) -> str:
    """What a rule said, as a sentence of a page: its metrics have names, it begins and it ends.

    Examples
    --------
    >>> sentence("average_precision 0.61 beats 0.3 of the declared floor")
    'Average precision 0.61 beats 0.3 of the declared floor.'
    >>> sentence("the auc is below the floor")
    'The AUC is below the floor.'
    """
    said = _NAMED.sub(lambda found: _within(METRICS[found[0]]), because)
    return f"{said[:1].upper()}{said[1:]}."


def _within(name: str) -> str:
    return name if name.isupper() else name[:1].lower() + name[1:]
