"""Legal holds: who forbade to remove what, why, and until when; one file a hold, kept for good."""

from __future__ import annotations

import secrets
from pathlib import Path

from pydantic import ValidationError

from core.errors import IntegrityError, InvalidInputError, NotReadyError
from core.retention import Hold
from stores.durable import exclusive_lock, write_durably

ID_BYTES = 6


class Holds:
    """Holds in one folder, which is made when the first is placed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def all(self) -> list[Hold]:
        """Every hold there ever was, the oldest first.

        Raises
        ------
        IntegrityError
            If a file is not a hold: nothing may be removed while it is not known what it held.
        """
        found = [_read(path) for path in self._directory.glob("*.json")]
        return sorted(found, key=lambda hold: (hold.placed_at_ms, hold.hold_id))

    def place(self, target: str, *, who: str, why: str, now_ms: int, until_ms: int) -> Hold:
        """Place a hold; InvalidInputError when it would be over already."""
        if until_ms <= now_ms:
            raise InvalidInputError(
                "a hold that is over holds nothing",
                found="an end that is not in the future",
                remedy="give a later date",
                code="bad_hold",
            )
        hold = Hold(
            hold_id=secrets.token_hex(ID_BYTES),
            target=target,
            who=who,
            why=why,
            placed_at_ms=now_ms,
            until_ms=until_ms,
        )
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write(hold)
        return hold

    def lift(self, hold_id: str, *, who: str, why: str, now_ms: int) -> Hold:
        """End a hold before its time; one that was lifted stays as it is.

        Raises
        ------
        NotReadyError
            If there is no such hold.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with exclusive_lock(self._directory / ".lock"):
            held = next((hold for hold in self.all() if hold.hold_id == hold_id), None)
            if held is None:
                raise NotReadyError(
                    "there is no such hold",
                    found=hold_id[:40],
                    remedy="`throughline retention holds` lists them",
                    code="unknown_hold",
                )
            if held.lifted_at_ms is not None:
                return held
            said = {"lifted_at_ms": now_ms, "lifted_by": who, "lifted_why": why}
            lifted = held.model_copy(update=said)
            self._write(lifted)
            return lifted

    def _write(self, hold: Hold) -> None:
        content = hold.model_dump_json(indent=1).encode()
        write_durably(self._directory / f"{hold.hold_id}.json", content, mode=0o600)


def _read(path: Path) -> Hold:
    try:
        return Hold.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise IntegrityError(
            "a legal hold cannot be read, so nothing may be removed",
            found=f"{type(error).__name__} at {path.name}",
            remedy="restore the file from a backup",
            code="bad_hold",
        ) from error
