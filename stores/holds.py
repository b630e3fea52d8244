"""Legal holds: who forbade to remove what, why, and until when; one file a hold, kept for good.

The audit log says of each that it was placed, and who lifted it. A file that is not as it says
stops every removal: nobody ends a hold by a deleted or an edited file.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core.audit.records import Entry
from core.errors import IntegrityError, InvalidInputError, NotReadyError
from core.retention import Hold
from stores.audit.log import AuditLog
from stores.durable import exclusive_lock, write_durably
from stores.layout import Layout

ID_BYTES = 6
EVERY = 2**31
PLACED, LIFTED = "hold_placed", "hold_lifted"


class Holds:
    """Holds of a home; their folder is made when the first is placed."""

    def __init__(self, layout: Layout) -> None:
        self._directory = layout.holds
        self._audit = AuditLog.of(layout, is_signing=False)

    def all(self) -> list[Hold]:
        """Every hold there ever was, the oldest first.

        Raises
        ------
        IntegrityError
            If a file is not a hold, or not what the audit log says was placed: nothing may be
            removed while it is not known what is held.
        """
        found = {hold.hold_id: hold for hold in self._files()}
        placed, lifted = self._audited()
        for hold_id, said in placed.items():
            if hold_id not in lifted and not _is_as_said(found.get(hold_id), said):
                raise _not_as_said(hold_id)
        return sorted(found.values(), key=lambda hold: (hold.placed_at_ms, hold.hold_id))

    def _files(self) -> list[Hold]:
        return [_read(path) for path in self._directory.glob("*.json")]

    def _audited(self) -> tuple[dict[str, dict[str, Any]], set[str]]:
        """What is on record of holds that were placed, by their ids, and which of them ended."""
        records = self._audit.latest(EVERY, hints=['"what":"hold_'])
        placed = {r.about["hold"]: r.about for r in records if r.what == PLACED}
        return placed, {r.about["hold"] for r in records if r.what == LIFTED}

    def place(self, target: str, *, who: str, why: str, now_ms: int, until_ms: int) -> Hold:
        """Place a hold; InvalidInputError when it would be over already.

        It is in force before it is on record, so one that cannot be put on record holds, too.
        """
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
        about = {"hold": hold.hold_id, "target": target, "until_ms": until_ms}
        self._audit.append([Entry(at_ms=now_ms, what=PLACED, who=who, why=why, about=about)])
        return hold

    def lift(self, hold_id: str, *, who: str, why: str, now_ms: int) -> Hold:
        """End a hold before its time; one that was lifted stays as it is. On record first.

        One whose file is lost is ended on record, so that removals go on.

        Raises
        ------
        NotReadyError
            If there is no such hold.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with exclusive_lock(self._directory / ".lock"):
            held = next((hold for hold in self._files() if hold.hold_id == hold_id), None)
            placed, lifted = self._audited()
            hold = held or _lost(hold_id, placed)
            if hold_id not in lifted and (hold.lifted_at_ms is None or hold_id in placed):
                about = {"hold": hold_id, "target": hold.target}
                self._audit.append(
                    [Entry(at_ms=now_ms, what=LIFTED, who=who, why=why, about=about)]
                )
            if hold.lifted_at_ms is not None:
                return hold
            said = {"lifted_at_ms": now_ms, "lifted_by": who, "lifted_why": why}
            ended = hold.model_copy(update=said)
            if held is not None:
                self._write(ended)
            return ended

    def _write(self, hold: Hold) -> None:
        content = hold.model_dump_json(indent=1).encode()
        write_durably(self._directory / f"{hold.hold_id}.json", content, mode=0o600)


def _is_as_said(hold: Hold | None, said: dict[str, Any]) -> bool:
    """Whether a file holds what is on record, and says of no end that is not."""
    if hold is None or hold.lifted_at_ms is not None:
        return False
    return (hold.target, hold.until_ms) == (said["target"], said["until_ms"])


def _not_as_said(hold_id: str) -> IntegrityError:
    return IntegrityError(
        "a legal hold is not what was placed, so nothing may be removed",
        found=f"{hold_id}.json is missing or was changed",
        remedy="restore the file from a backup, or end the hold on record: `throughline retention "
        f"lift {hold_id} --who NAME --why REASON`",
        code="bad_hold",
    )


def _lost(hold_id: str, placed: dict[str, dict[str, Any]]) -> Hold:
    """A hold by what is on record of it."""
    said = placed.get(hold_id)
    if said is None:
        raise NotReadyError(
            "there is no such hold",
            found=hold_id[:40],
            remedy="`throughline retention holds` lists them",
            code="unknown_hold",
        )
    known = {"hold_id": hold_id, "target": said["target"], "until_ms": said["until_ms"]}
    return Hold(**known, who="lost", why="lost", placed_at_ms=0)


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
