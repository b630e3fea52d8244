"""What a use case declares about being watched. Every value has a default that does for most."""

from __future__ import annotations

from pydantic import Field

from core.features.plan import Frozen
from core.stats.verdicts import DriftLimits


class Watching(Frozen):
    """How a use case is watched.

    ``baseline_days`` before the last ``current_days`` are what days are compared with. Rows of a
    date are late when they can be known only ``late_hours`` after its end; a table is stale when
    it has nothing of the last ``fresh_hours`` and never paused for half as long. ``synthetic``
    gives keys and inputs of the hourly synthetic request where invented ones do not fit a
    contract.
    """

    limits: DriftLimits = DriftLimits()
    baseline_days: int = Field(default=28, ge=2)
    current_days: int = Field(default=7, ge=1)
    late_hours: float = Field(default=6.0, gt=0)
    fresh_hours: float = Field(default=26.0, gt=0)
    synthetic: dict[str, str | int | float] = Field(default_factory=dict)
