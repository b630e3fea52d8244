"""What a challenger may do and stay: the declared limits of the gates."""

from __future__ import annotations

from pydantic import Field

from core.features.plan import Frozen

GATE_NAMES = (
    "errors",
    "errors_against_champion",
    "latency",
    "latency_against_champion",
    "soundness",
    "scores",
    "decisions",
    "calibration",
    "outcome",
    "sample_ratio",
)


class Limits(Frozen):
    """Limits of the gates, each a promise that holds until it is proven broken.

    ``alpha`` is the chance that a challenger which keeps every limit is ever rolled back, over
    all gates, stages and looks together; each gate gets an equal part of it.

    ``error_share`` and ``p99_ms`` are absolute. Against the champion, errors may be
    ``error_margin_share`` more, the 99th percentile of latency ``p99_ratio`` times, the share
    of scores below any score ``score_shift_share`` more or less, the share of any decision
    ``decision_ratio`` times (or one such part of) the champion's plus ``decision_margin_share``,
    and the Brier score ``outcome_ratio`` times. ``nonfinite_share`` bounds scores that are no
    numbers, ``repeated_share`` how common the most common score may be. ``calibration_logits``
    is how far the log-odds of a positive may lie outside of a score's own bin.

    ``requests_per_entity`` is the most requests of one entity in a stage that may end alike: the
    evidence counts that many as one.

    Models may differ: a better one has other scores. The limits say by how much, and only
    proof of more than that rolls back.
    """

    alpha: float = Field(default=0.01, gt=0, lt=1)
    error_share: float = Field(default=0.01, gt=0, lt=1)
    error_margin_share: float = Field(default=0.001, ge=0, lt=1)
    p99_ms: float = Field(default=100.0, gt=0, le=50_000)
    p99_ratio: float = Field(default=1.2, ge=1, le=100)
    nonfinite_share: float = Field(default=0.001, gt=0, lt=1)
    repeated_share: float = Field(default=0.95, gt=0, lt=1)
    score_shift_share: float = Field(default=0.10, ge=0, lt=1)
    decision_ratio: float = Field(default=1.5, ge=1)
    decision_margin_share: float = Field(default=0.01, ge=0, lt=1)
    calibration_logits: float = Field(default=0.5, ge=0)
    outcome_ratio: float = Field(default=1.1, ge=1)
    requests_per_entity: float = Field(default=1.0, ge=1)

    @property
    def alpha_of_a_gate(self) -> float:
        """Equal part of ``alpha``: the union bound over the gates."""
        return self.alpha / len(GATE_NAMES)
