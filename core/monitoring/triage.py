"""Triage: whether the world changed when numbers moved, or the data broke on its way to us.

A model that is trained again on broken data learns the fault. So before anything is trained, the
assets upstream of what moved are walked, and each is asked the same questions: is a partition
failed, missing or late, did a check fail, did the schema or the code change, are there far fewer
or far more rows than usual, far more missing values, or a column in another unit? One fault, and
the verdict is a *data incident*: it names asset and partition, and retraining is held. No fault,
and columns have moved: it is *real drift*, and names them with their sizes.

How to use it
-------------
The asset ``monitoring/<use case>_drift`` calls `triaged` and keeps the answer. Whoever wants to
retrain asks for it and obeys ``is_held``, whatever made them want to (a schedule, drift, decayed
performance, enough labels)::

    from stores.monitoring.triages import Triages

    triage = Triages(layout.monitoring).latest("fraud")    # None: nothing was looked at yet
    if triage is not None and triage.is_held:
        return Skip(triage.sentence())                      # names asset and partition
    if triage is not None and triage.kind == "real_drift":
        reason = triage.sentence()                          # names columns and sizes

A hold ends by itself when a later triage finds no fault: the data was mended, or the dates have
left the window.

What it cannot tell: a fault that leaves schema, volume, missing values, units and checks as they
were (values of one customer under another's key) looks like the world changing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from core.features.plan import Frozen

Kind = Literal["stable", "data_incident", "real_drift"]
Drift = Literal["none", "covariate", "concept", "prediction"]
Cause = Literal[
    "failed_partition",
    "late_partition",
    "failed_check",
    "schema_change",
    "code_change",
    "volume_shift",
    "null_shift",
    "unit_change",
]
What = Literal["source", "feature", "prediction", "error"]

SHOWN = 3


class Moved(Frozen):
    """A column that drifted. ``effect`` is a share of rows, or for an error its change.

    ``threshold`` is what it would have taken at ``n_current`` rows; ``since`` the first date of
    the window that shows it, empty where only the whole window does.
    """

    column: str
    what: What
    effect: float
    threshold: float
    n_current: int = Field(ge=0)
    since: str = ""

    def sentence(self) -> str:
        """One clause: ``score moved 0.31 (limit 0.10)``."""
        return f"{self.column} moved {self.effect:.2f} (limit {self.threshold:.2f})"


class Fault(Frozen):
    """Something wrong with an upstream asset: what, where, which columns, how large.

    ``partition`` is an event date, empty when it is the whole table. ``size`` depends on the
    cause: a share of rows (volume, missing values), a factor (unit), hours (late), else 1.
    """

    cause: Cause
    asset: str
    partition: str = ""
    columns: tuple[str, ...] = ()
    size: float = 1.0
    because: str = ""

    def sentence(self) -> str:
        """One clause: ``events/transactions 2026-01-03: failed_partition, ...``."""
        where = f"{self.asset} {self.partition}".rstrip()
        return f"{where}: {self.cause.replace('_', ' ')}, {self.because}".rstrip(", ")


class Triage(Frozen):
    """What a look at one use case came to. See the head of this module for how to use it."""

    use_case: str
    at_ms: int
    kind: Kind
    drift: Drift
    first_date: str
    last_date: str
    moved: tuple[Moved, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def is_held(self) -> bool:
        """Whether retraining has to wait until the data is mended."""
        return self.kind == "data_incident"

    def sentence(self) -> str:
        """One line for people: the use case, the verdict and what it rests on."""
        return f"{self.use_case}: {self.words}"

    @property
    def words(self) -> str:
        """The verdict and what it rests on, where the use case is named already."""
        dates = f"{self.first_date} to {self.last_date}"
        if self.kind == "stable":
            return f"nothing moved, {dates}"
        if self.kind == "data_incident":
            words = _few([fault.sentence() for fault in self.faults])
            return f"data incident, retraining is held: {words}"
        words = _few([moved.sentence() for moved in self.moved])
        return f"real drift ({self.drift}), {dates}: {words}"


def triaged(
    use_case: str,
    moved: Iterable[Moved],
    faults: Iterable[Fault],
    *,
    at_ms: int,
    window: tuple[str, str],
) -> Triage:
    """Verdict on what moved, given what the walk upstream found (`core.monitoring.upstream`).

    A change of code is a fault only where a column moved from that very date on: releases come
    often and change nothing as a rule. Every other fault holds retraining even where nothing has
    moved yet, because what is trained on would hold it.

    Parameters
    ----------
    moved
        Columns that drifted, in any order.
    faults
        What `core.monitoring.upstream` found wrong.
    window
        First and last event date of the rows that were looked at.

    Examples
    --------
    >>> amount = Moved(column="amount_minor", what="source", effect=0.4, threshold=0.1,
    ...     n_current=900, since="2026-01-03")
    >>> window = ("2026-01-01", "2026-01-07")
    >>> triaged("fraud", [amount], [], at_ms=0, window=window).sentence()
    'fraud: real drift (covariate), 2026-01-01 to 2026-01-07: amount_minor moved 0.40 (limit 0.10)'
    >>> late = Fault(cause="late_partition", asset="events/transactions",
    ...     partition="2026-01-03", size=9.0, because="9 h late")
    >>> held = triaged("fraud", [amount], [late], at_ms=0, window=window)
    >>> held.is_held, held.sentence()
    (True, 'fraud: data incident, retraining is held: events/transactions 2026-01-03: late \
partition, 9 h late')
    """
    found = tuple(sorted(moved, key=lambda each: (-each.effect, each.column)))
    onsets = {each.since for each in found if each.since}
    counted = tuple(f for f in faults if f.cause != "code_change" or f.partition in onsets)
    kind: Kind = "data_incident" if counted else "real_drift" if found else "stable"
    return Triage(
        use_case=use_case,
        at_ms=at_ms,
        kind=kind,
        drift=_drift(found),
        first_date=window[0],
        last_date=window[1],
        moved=found,
        faults=counted,
    )


def _drift(moved: Sequence[Moved]) -> Drift:
    """Covariate when what goes in moved, concept when only errors did, prediction when scores."""
    kinds = {each.what for each in moved}
    if kinds & {"source", "feature"}:
        return "covariate"
    if "error" in kinds:
        return "concept"
    return "prediction" if kinds else "none"


def _few(sentences: Sequence[str]) -> str:
    more = len(sentences) - SHOWN
    return "; ".join(sentences[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
