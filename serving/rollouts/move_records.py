"""What the audit log is told of moves and refusals, each before it is made.

Between the telling and the making the process may end, or the shelf may take no more. The next try
tells what is not there yet, so that a move has one line however often it was tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.audit.records import LONGEST_WHY, Entry, Record
from serving.rollouts.judging import Look
from serving.rollouts.older_contracts import contract_entries
from stores.audit.log import AuditLog
from stores.shelf.bundle import read_manifest
from stores.shelf.channels import Channels, ChannelState
from stores.shelf.rollouts import AuditEntry, Event
from stores.shelf.shelf import Shelf

REFUSED = "request_refused"
_LINES_A_MOVE = 8
"""At most: of a rollout, of a champion, one for each older contract."""

_TOLD_BY = ("use_case", "release", "manifest_digest", "contract", "counter", "request")
"""What tells one move or refusal from another of its kind; reason and numbers may be newer."""


class MoveRecords:
    """Tells the audit log of a home; for the controller, which holds the lock of the shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._audit = AuditLog.beside(shelf.root, is_signing=True)

    def sign(self, at_ms: int) -> None:
        """Sign what others wrote."""
        self._audit.sign(at_ms)

    def refused(self, entry: Entry) -> None:
        """Tell of a request that is refused; IntegrityError if the log is not what was written."""
        last = self._audit.latest(1, lambda each: each.what == REFUSED, hints=[f'"{REFUSED}"'])
        self._tell([entry], last)

    def moved(
        self,
        use_case: str,
        before: ChannelState,
        changed: Channels,
        who: str,
        why: str,
        of_rollout: AuditEntry | None,
    ) -> None:
        """Tell of a move; IntegrityError if the log is not what was written."""
        entries = [] if of_rollout is None else [of_rollout.in_log()]
        if changed.state(use_case).champion != before.champion:
            entries.append(self._of_champion(use_case, before, changed, who, why))
        entries += contract_entries(use_case, before, changed, who, why)
        self._tell(entries, self._of_last_move())

    def _of_last_move(self) -> list[Record]:
        """Lines of the last move that was told, and of no other.

        On a shelf that was put back from a copy, counters come again.
        """
        known = self._audit.latest(
            _LINES_A_MOVE, lambda each: "counter" in each.about, hints=['"counter":']
        )
        return [each for each in known if each.about["counter"] == known[-1].about["counter"]]

    def _tell(self, entries: Sequence[Entry], known: Sequence[Record]) -> None:
        told = {_identity(each) for each in known}
        self._audit.append([entry for entry in entries if _identity(entry) not in told])

    def _of_champion(
        self, use_case: str, before: ChannelState, changed: Channels, who: str, why: str
    ) -> Entry:
        champion = changed.state(use_case).champion
        about: dict[str, Any] = {
            "use_case": use_case,
            "release": champion,
            "before": before.champion,
            "counter": changed.counter,
        }
        if champion is not None:
            about["manifest_digest"] = self._shelf.statement(use_case, champion).manifest_digest
            about["contract"] = read_manifest(self._shelf.bundle(use_case, champion)).contract.major
        return Entry(
            at_ms=changed.written_at_ms,
            what="rolled_back" if champion in before.former_champions else "promoted",
            who=who,
            why=why[:LONGEST_WHY],
            about=about,
        )


def rollout_entry(
    use_case: str,
    channels: Channels,
    event: Event,
    after: ChannelState,
    *,
    who: str,
    why: str,
    at_ms: int,
) -> AuditEntry:
    """What the audit says of a rollout's or a shadow's move from ``channels`` on."""
    before = channels.state(use_case)
    rollout = after.rollout or before.rollout
    is_shadow = event in ("shadow_set", "shadow_removed")
    release = (after.shadow or before.shadow) if is_shadow else after.challenger
    return AuditEntry(
        at_ms=at_ms,
        event=event,
        use_case=use_case,
        release=release or before.challenger,
        experiment=rollout.experiment if rollout is not None and not is_shadow else "",
        who=who,
        why=why[:LONGEST_WHY],
        counter=channels.counter + 1,
        stage=rollout.stage if rollout is not None else 0,
        weight=after.challenger_weight,
    )


def numbers_of(look: Look) -> dict[str, Any]:
    """Counts and verdicts that a move was made on, as the audit keeps them."""
    rollout = look.report.rollout
    if rollout is None:
        return {}
    return {
        "verdicts": [verdict.model_dump(mode="json") for verdict in rollout.verdicts],
        "stages": [stage.model_dump(mode="json") for stage in rollout.stages],
    }


def _identity(entry: Entry) -> tuple[object, ...]:
    return entry.what, *(entry.about.get(name) for name in _TOLD_BY)
