"""What a use case promises beside what was measured, for its page."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import PlatformError
from core.monitoring.objectives import WINDOW_DAYS, Measured, Objectives, Standing, standings
from serving.console.pages import Home
from stores.declarations import declarations
from stores.monitoring.measured import measured_until
from stores.shelf.bundle import Manifest


@dataclass(frozen=True)
class Promised:
    """Objectives of the release that serves, and how they were kept in the last days.

    ``declared`` are those of the declaration where they are other ones: they come with the next
    release. ``trouble`` says why nothing could be read.
    """

    objectives: Objectives
    measured: Measured
    declared: Objectives | None = None
    trouble: str = ""
    days: int = WINDOW_DAYS

    @property
    def standings(self) -> tuple[Standing, Standing]:
        """Each objective beside what was measured."""
        return standings(self.objectives, self.measured)


def promised(home: Home, use_case: str, manifest: Manifest, now_ms: int) -> Promised:
    """What a use case promises by a release's manifest, and how that was kept."""
    try:
        declared = declarations(home.layout).get(use_case)
        measured = measured_until(home.layout, now_ms).get(use_case, Measured())
    except PlatformError as error:
        return Promised(manifest.promises, Measured(), trouble=str(error))
    others = declared.objectives if declared is not None else None
    return Promised(manifest.promises, measured, None if others == manifest.promises else others)
