"""When the audit log of a home was last verified, and what was found; sealed as the log is.

::

    state/audit_verified.json

Without the home's secret nobody can say that the log was found whole.
"""

from __future__ import annotations

from core.audit.check import Findings
from core.audit.records import is_sealed, read_sealed, seal, sealed_line
from core.features.plan import Frozen
from stores.audit.files import content_of
from stores.audit.log import KEY_FILE
from stores.durable import write_durably
from stores.keys.secret_keys import ensure_secret_key
from stores.layout import Layout

NAME = "audit_verified.json"


class Verified(Frozen):
    """What a verification found of the whole log, when, and who asked for it."""

    at_ms: int
    who: str
    n_records: int
    n_signed: int
    faults: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether all that was written was there, and nothing else."""
        return not self.faults


def put_verified(layout: Layout, found: Findings, *, who: str, at_ms: int) -> Verified:
    """Put down what a verification with seals found; the last one before it goes."""
    verified = Verified(
        at_ms=at_ms,
        who=who,
        n_records=found.n_records,
        n_signed=found.n_signed,
        faults=tuple(str(fault) for fault in found.faults),
    )
    layout.state.mkdir(parents=True, exist_ok=True)
    line = sealed_line(verified, seal(verified, ensure_secret_key(layout.keys, KEY_FILE)))
    write_durably(layout.state / NAME, line, mode=0o600)
    return verified


def last_verified(layout: Layout) -> Verified | None:
    """The last verification; None where there was none, or it is not sealed by this home."""
    if not (layout.keys / KEY_FILE).exists():  # who has not the secret cannot tell, and makes none
        return None
    line = content_of(layout.state / NAME)
    found = read_sealed(line, Verified) if line is not None else None
    if found is None or not is_sealed(*found, ensure_secret_key(layout.keys, KEY_FILE)):
        return None
    return found[0]
