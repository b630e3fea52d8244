"""What rollouts did and why: a report and an audit for each use case, on the shelf.

::

    rollouts/<use_case>/report.json   rollouts/<use_case>/audit.jsonl

The controller writes both; the service shows them. The audit is only ever appended to: one line
for each move, with the reason and the numbers it was made on. The report is where things stood
when the controller last looked; it is replaced.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from core.errors import IntegrityError
from core.features.plan import Frozen
from core.rollout.comparison import ShadowVerdict
from core.rollout.counters import Counters
from core.rollout.health_gates import p50_ms, p99_ms
from core.rollout.stages import Step
from core.rollout.tallies import Tally
from core.rollout.verdicts import Verdict
from stores.channels import document_bytes, read_document
from stores.durable import exclusive_lock, write_durably
from stores.layout import checked_name

Event = Literal[
    "started",
    "advanced",
    "promoted",
    "rolled_back",
    "held",
    "resumed",
    "approved",
    "withdrawn",
    "overtaken",
    "shadow_set",
    "shadow_removed",
]
SHOWN_ENTRIES = 100
"""Latest lines of an audit that are read back for a page."""

_LINE_BYTES = 64 << 10


class ArmSummary(Frozen):
    """One arm in one stage, in figures that people read. Latencies in ms, rounded up to a bin."""

    n_requests: int
    n_errors: int
    n_degraded: int
    n_entities: int
    p50_ms: float
    p99_ms: float
    n_scores: int
    n_nonfinite: int
    decisions: dict[str, int]

    @classmethod
    def of(cls, counters: Counters) -> ArmSummary:
        """Figures of counts."""
        tally = Tally.of(counters, ())
        return cls(
            n_requests=counters.n_requests,
            n_errors=counters.n_errors,
            n_degraded=counters.n_degraded,
            n_entities=counters.n_entities,
            p50_ms=p50_ms(tally),
            p99_ms=p99_ms(tally),
            n_scores=counters.n_scores,
            n_nonfinite=counters.n_nonfinite,
            decisions=dict(sorted(counters.decisions.items())),
        )


class StageSummary(Frozen):
    """Both arms in one stage. ``weight`` is the challenger's share."""

    stage: int
    weight: float
    champion: ArmSummary
    challenger: ArmSummary


class RolloutReport(Frozen):
    """A rollout at the controller's last look; ``ended`` says how it ended, if it did.

    ``trouble`` is why the controller could not judge: then the rollout stays where it is.
    """

    experiment: str
    champion: int | None
    challenger: int
    risk_tier: str
    started_at_ms: int
    at_ms: int
    stage: int
    n_stages: int
    weight: float
    is_held: bool = False
    ended: Literal["", "promoted", "rolled_back", "withdrawn", "overtaken"] = ""
    step: Step | None = None
    verdicts: tuple[Verdict, ...] = ()
    stages: tuple[StageSummary, ...] = ()
    trouble: str = ""


class ShadowReport(Frozen):
    """A shadow at the controller's last look."""

    release: int
    at_ms: int
    verdict: ShadowVerdict
    flips: dict[str, int] = Field(default_factory=dict)


class Report(Frozen):
    """Content of ``report.json``."""

    use_case: str
    rollout: RolloutReport | None = None
    shadow: ShadowReport | None = None


class AuditEntry(Frozen):
    """One move: what, of which release, who asked or that the gates did, why, on what numbers."""

    at_ms: int
    event: Event
    use_case: str
    release: int | None
    experiment: str = ""
    who: str
    why: str
    counter: int
    stage: int = 0
    weight: float = 0.0
    numbers: dict[str, Any] = Field(default_factory=dict)


class RolloutBoard:
    """Reports and audits below a shelf."""

    def __init__(self, shelf: Path) -> None:
        self._root = shelf / "rollouts"

    def report(self, use_case: str) -> Report:
        """Report of a use case; an empty one when none was written."""
        path = self._folder(use_case) / "report.json"
        return read_document(path, Report) if path.exists() else Report(use_case=use_case)

    def write_report(self, report: Report) -> None:
        """Replace the report. For the controller only."""
        folder = self._folder(report.use_case)
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / "report.json", document_bytes(report))

    def append(self, entry: AuditEntry) -> None:
        """Put a line at the end of the audit, on the disk when this returns."""
        folder = self._folder(entry.use_case)
        folder.mkdir(parents=True, exist_ok=True)
        line = json.dumps(entry.model_dump(mode="json"), ensure_ascii=False).encode() + b"\n"
        with exclusive_lock(folder / ".audit.lock"):
            descriptor = os.open(self._audit(entry.use_case), os.O_RDWR | os.O_CREAT, 0o644)
            with os.fdopen(descriptor, "r+b") as file:
                end = file.seek(0, os.SEEK_END)
                if end and (file.seek(end - 1), file.read(1))[1] != b"\n":
                    line = b"\n" + line  # a line torn by a crash stays alone
                file.seek(end)
                file.write(line)
                file.flush()
                os.fsync(file.fileno())

    def audit(self, use_case: str, *, latest: int = SHOWN_ENTRIES) -> list[AuditEntry]:
        """Latest entries, oldest first; a line torn by a crash is passed over.

        Raises
        ------
        IntegrityError
            If a whole line is none of ours.
        """
        path = self._audit(use_case)
        if not path.exists():
            return []
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = max(0, end - latest * _LINE_BYTES)
            file.seek(start)
            lines = file.read().split(b"\n")
        entries = [_entry(line) for line in lines[1 if start else 0 :] if _is_whole(line)]
        return entries[-latest:]

    def _audit(self, use_case: str) -> Path:
        return self._folder(use_case) / "audit.jsonl"

    def _folder(self, use_case: str) -> Path:
        return self._root / checked_name(use_case)


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _entry(line: bytes) -> AuditEntry:
    try:
        return AuditEntry.model_validate_json(line)
    except ValidationError as error:
        raise IntegrityError(
            "a line of a rollout's audit is none of ours",
            found=f"{error.error_count()} fields that do not fit",
            remedy="restore the file; it is written by the controller only",
            code="bad_document",
        ) from None
