"""What was last seen of each use case: one file a kind of look, beside its triages and pictures.

::

    monitoring/<use case>/seen/drift.json ...    the newest; those before it are in Dagster
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from core.errors import IntegrityError
from core.monitoring.watched import CalibrationSeen, DriftSeen, Kind, Seen, SkillSeen, StreamsSeen
from stores.durable import write_durably
from stores.layout import checked_name

KINDS: dict[type[Seen], Kind] = {
    DriftSeen: "drift",
    SkillSeen: "performance",
    CalibrationSeen: "calibration",
    StreamsSeen: "stream",
}
Shape = TypeVar("Shape", DriftSeen, SkillSeen, CalibrationSeen, StreamsSeen)


class Looks:
    """The newest look of each kind, below one folder, which is made when the first is put down."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, seen: Seen) -> None:
        """Keep what was seen, in the place of what was seen before."""
        path = self._path(seen.use_case, KINDS[type(seen)])
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, seen.model_dump_json().encode())

    def drift(self, use_case: str) -> DriftSeen | None:
        """The last look at drift; None when nobody looked yet.

        Raises
        ------
        IntegrityError
            If it cannot be read: it was written by another version, or is damaged.
        """
        return self._read(use_case, DriftSeen)

    def performance(self, use_case: str) -> SkillSeen | None:
        """The last look at how decisions fared; as `drift`."""
        return self._read(use_case, SkillSeen)

    def calibration(self, use_case: str) -> CalibrationSeen | None:
        """The last look at calibration; as `drift`."""
        return self._read(use_case, CalibrationSeen)

    def stream(self, use_case: str) -> StreamsSeen | None:
        """The last look at streams of scores and errors; as `drift`."""
        return self._read(use_case, StreamsSeen)

    def _path(self, use_case: str, kind: Kind) -> Path:
        return self._directory / checked_name(use_case) / "seen" / f"{kind}.json"

    def _read(self, use_case: str, shape: type[Shape]) -> Shape | None:
        kind = KINDS[shape]
        path = self._path(use_case, kind)
        try:
            return shape.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise IntegrityError(
                f"what was seen of {use_case} cannot be read",
                found=f"{type(error).__name__} at {path.name}",
                remedy=f"materialise monitoring/{use_case}_{kind}: it writes it anew",
                code="bad_look",
            ) from error
