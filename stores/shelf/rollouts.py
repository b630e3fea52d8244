"""What rollouts did and why: each move in the audit log, and a report for each use case.

::

    rollouts/<use_case>/report.json

The controller writes both; the service shows them. A move stands in the audit log with the reason
and the numbers it was made on. The report is where things stood when the controller last looked; it
is replaced.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError

from core.audit.records import Entry, Record
from core.errors import IntegrityError
from core.features.plan import Frozen
from core.rollout.comparison import ShadowVerdict
from core.rollout.counters import Counters
from core.rollout.health_gates import p50_ms, p99_ms
from core.rollout.stages import Step
from core.rollout.tallies import Tally
from core.rollout.verdicts import Verdict
from stores.audit.log import AuditLog
from stores.durable import write_durably
from stores.layout import checked_name
from stores.shelf.channels import ChannelState, document_bytes, read_document

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
Ending = Literal["promoted", "rolled_back", "withdrawn", "overtaken"]
SHOWN_ENTRIES = 100
"""Latest moves that are read back for a page."""

MOVE = "rollout_"
"""How what a rollout did is called in the audit log, before the event's name."""


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
    n_labels: int = 0

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
            n_labels=counters.n_labels,
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
    ended: Ending | Literal[""] = ""
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

    def in_log(self) -> Entry:
        """The same as the audit log takes it."""
        about = self.model_dump(mode="json", exclude={"at_ms", "who", "why"})
        what = MOVE + self.event
        return Entry(at_ms=self.at_ms, what=what, who=self.who, why=self.why, about=about)


class RolloutBoard:
    """Reports below a shelf, and moves in the audit log of its home."""

    def __init__(self, shelf: Path) -> None:
        self._root = shelf / "rollouts"
        self._audit = AuditLog.beside(shelf, is_signing=False)

    def report(self, use_case: str) -> Report:
        """Report of a use case; an empty one when none was written."""
        path = self._folder(use_case) / "report.json"
        return read_document(path, Report) if path.exists() else Report(use_case=use_case)

    def standing(self, use_case: str, state: ChannelState) -> Report:
        """The same for who shows it: of a rollout that is in no channel any more, how it ended.

        The audit log tells, should the controller have ended before it was in the report.
        """
        report, now = self.report(use_case), state.rollout
        last = report.rollout
        if last is None or last.ended or (now is not None and now.experiment == last.experiment):
            return report
        moves = reversed(self.audit(use_case))
        of_it = (move.event for move in moves if move.experiment == last.experiment)
        ended = next((event for event in of_it if event in get_args(Ending)), "")
        rollout = last.model_copy(update={"ended": ended})
        return report.model_copy(update={"rollout": rollout})

    def last_report(self, use_case: str) -> Report:
        """The same for who replaces it: an empty one, too, when it cannot be read."""
        try:
            return self.report(use_case)
        except IntegrityError:
            return Report(use_case=use_case)

    def write_ending(self, use_case: str, experiment: str, ended: Ending) -> None:
        """Say how a rollout ended. For the controller only.

        Over before the first look it has no report: the audit alone tells of it.
        """
        report = self.last_report(use_case)
        if report.rollout is not None and report.rollout.experiment == experiment:
            rollout = report.rollout.model_copy(update={"ended": ended})
            self.write_report(report.model_copy(update={"rollout": rollout}))

    def write_report(self, report: Report) -> None:
        """Replace the report. For the controller only."""
        folder = self._folder(report.use_case)
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / "report.json", document_bytes(report))

    def audit(self, use_case: str, *, latest: int = SHOWN_ENTRIES) -> list[AuditEntry]:
        """Latest moves, oldest first.

        Raises
        ------
        IntegrityError
            If a line of the audit log is none of ours.
        """

        def is_wanted(record: Record) -> bool:
            return record.what.startswith(MOVE) and record.about.get("use_case") == use_case

        records = self._audit.latest(latest, is_wanted, hints=[f'"what":"{MOVE}'])
        return [_entry(record) for record in records]

    def _folder(self, use_case: str) -> Path:
        return self._root / checked_name(use_case)


def _entry(record: Record) -> AuditEntry:
    said = {"at_ms": record.at_ms, "who": record.who, "why": record.why}
    try:
        return AuditEntry.model_validate({**record.about, **said})
    except ValidationError as error:
        raise IntegrityError(
            "a rollout's move in the audit log is none of ours",
            found=f"{error.error_count()} fields that do not fit, in record {record.n}",
            remedy="run `throughline audit verify`",
            code="bad_document",
        ) from None
