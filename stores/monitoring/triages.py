"""Triages: the last word on each use case, and those before it; one file each, in one folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from core.errors import IntegrityError
from core.monitoring.triage import Triage
from stores.durable import write_durably
from stores.layout import checked_name

KEPT = 400
"""Triages of a use case that are kept: more than a year of days."""


class Triages:
    """Triages below one folder, which is made when the first is put down."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, triage: Triage) -> None:
        """Keep a triage as the last word; the oldest go beyond ``KEPT``."""
        folder = self._folder(triage.use_case)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{triage.at_ms:015d}.json"
        write_durably(path, triage.model_dump_json(indent=1).encode())
        for old in self._paths(triage.use_case)[:-KEPT]:
            old.unlink(missing_ok=True)

    def latest(self, use_case: str) -> Triage | None:
        """The last word; None when nothing was looked at yet.

        Raises
        ------
        IntegrityError
            If it cannot be read: then nobody knows whether retraining is held.
        """
        paths = self._paths(use_case)
        return _read(paths[-1]) if paths else None

    def all(self, use_case: str, *, newest: int = KEPT) -> list[Triage]:
        """Those that are kept, or the newest of them, oldest first; IntegrityError as `latest`."""
        return [_read(path) for path in self._paths(use_case)[-newest:]]

    def _folder(self, use_case: str) -> Path:
        return self._directory / checked_name(use_case) / "triages"

    def _paths(self, use_case: str) -> list[Path]:
        return sorted(self._folder(use_case).glob("[0-9]*.json"))


def _read(path: Path) -> Triage:
    try:
        return Triage.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise IntegrityError(
            "a triage cannot be read, so nobody knows whether the data is sound",
            found=f"{type(error).__name__} at {path.name}",
            remedy="remove the file and materialise the drift asset again",
            code="bad_triage",
        ) from error
