"""The platform of a home at an instant of a test's choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assets.resources import Platform
from core.clock import Clock, FixedClock


class PlatformAt(Platform):
    """A platform whose clock stands still."""

    at_ms: int

    @property
    def clock(self) -> Clock:
        return FixedClock(self.at_ms)


def platform_at(home: Path, at_ms: int, **more: Any) -> PlatformAt:
    """The platform of a home; without ``more`` there are no online values and no runs of models."""
    told = {"home": str(home), "online_url": "sqlite:///none", "tracking_uri": "none"}
    return PlatformAt(**(told | {"at_ms": at_ms} | more))
