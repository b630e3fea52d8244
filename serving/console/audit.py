"""Pages of the audit log: who did what, when and why; whether it is what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlencode

from core.access import EVERY_USE_CASE
from core.audit.check import Findings
from core.audit.filter import Wanted, is_about, particulars
from core.audit.records import Record
from core.clock import DAY_MS, date_start_ms
from core.errors import InvalidInputError
from serving.console.pages import Asking, Drawn, Gone, Page
from serving.errors import NotFoundError
from stores.audit.log import KEY_FILE, AuditLog
from stores.audit.verified import last_verified, put_verified

ROWS = 50
KINDS_OF = 300
"""Of so many latest records the kinds are offered; any other can be typed."""

LAST_MS = 253_402_300_800_000
"""The year 10000, beyond which no date is written."""

MOST_VERIFIED = 100_000
"""Records that are verified for a page: some ten seconds, in which nobody can append."""


def overview(asked: Asking) -> Drawn:
    """Records that are wanted, the newest first, page by page, and the state of the chain."""
    log, wanted = _log(asked), _wanted(asked)
    before = _number(asked.query.get("before", ""))
    takes = _taking(asked, wanted)
    found = log.latest(ROWS + 1, takes, hints=wanted.hints, before=before)[::-1]
    shown = found[:ROWS]
    kinds = {record.what for record in log.latest(KINDS_OF, _taking(asked, Wanted()))}
    return Drawn(
        "audit.html",
        {
            "records": [(record, particulars(record)) for record in shown],
            "older": _address(asked, shown[-1].n) if len(found) > ROWS else "",
            "newest": _address(asked) if before is not None else "",
            "asked": {name: asked.query.get(name, "") for name in _FIELDS},
            "is_filtered": any(asked.query.get(name) for name in _FIELDS),
            "kinds": sorted(kinds),
            "use_cases": asked.use_cases("audit"),
            "is_whole_seen": asked.opens("audit", EVERY_USE_CASE),
            "most_verified": MOST_VERIFIED,
            **_chain(asked, log),
        },
    )


_FIELDS = ("what", "who", "use_case", "since", "until")


def _log(asked: Asking) -> AuditLog:
    return AuditLog.of(asked.home.layout, is_signing=False)


def _wanted(asked: Asking) -> Wanted:
    query = asked.query
    until = query.get("until", "")
    return Wanted(
        what=query.get("what", "").strip(),
        who=query.get("who", "").strip(),
        use_case=query.get("use_case", ""),
        since_ms=_date_ms(query.get("since", "")),
        until_ms=(_date_ms(until) or 0) + DAY_MS if until else None,
    )


def _date_ms(text: str) -> int | None:
    if not text:
        return None
    try:
        return date_start_ms(text[:10])
    except ValueError:
        raise InvalidInputError(
            "a date cannot be read", found=repr(text[:40]), remedy="write it as 2026-01-31"
        ) from None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None


def _taking(asked: Asking, wanted: Wanted) -> Callable[[Record], bool]:
    """What of the wanted the key may see: of one for some use cases, what is about those."""
    if asked.opens("audit", EVERY_USE_CASE):
        return wanted.takes
    mine = asked.use_cases("audit")
    return lambda record: wanted.takes(record) and any(is_about(record.about, n) for n in mine)


def _address(asked: Asking, before: int | None = None) -> str:
    """Address of the list with the same filter, from another record on."""
    query = {name: asked.query[name] for name in _FIELDS if asked.query.get(name)}
    return "?" + urlencode(query | ({"before": str(before)} if before else {}))


def _chain(asked: Asking, log: AuditLog) -> dict[str, object]:
    """Where the log ends, how far it is signed, when it was last verified."""
    return {
        "head": log.head(),
        "checkpoint": log.last_checkpoint(),
        "verified": last_verified(asked.home.layout),
    }


def verify(asked: Asking) -> Gone:
    """Check every record, seal, link and signature, and put down what was found."""
    asked.require("audit", EVERY_USE_CASE)
    log, layout = _log(asked), asked.home.layout
    head = log.head()
    if head is not None and head.n > MOST_VERIFIED:
        raise InvalidInputError(
            "the log is too long to be verified while a page waits",
            found=f"{head.n:,} records",
            remedy="run `throughline audit verify`; this page shows what it found",
            code="audit_too_long",
        )
    has_secret = (layout.keys / KEY_FILE).exists()  # where it is not, none may be made
    found = log.verify(asked.home.keys(), has_secret=has_secret)
    if has_secret:
        put_verified(layout, found, who=asked.who, at_ms=asked.now_ms)
    return Gone("/audit", _said(found, has_secret=has_secret))


def _said(found: Findings, *, has_secret: bool) -> str:
    """What a verification found, in a sentence."""
    if not found.is_whole:
        return f"The log is not what was written: {found.faults[0]}."
    whole = f"The log is whole: {found.n_records:,} records were checked"
    return f"{whole}." if has_secret else f"{whole}, without their seals: {KEY_FILE} is not here."


def record_of(asked: Asking) -> Drawn:
    """One record, whole, and whether it follows from the one before it."""
    log, n = _log(asked), _number(asked.path["n"])
    found = log.latest(2, before=n + 1) if n is not None else []
    takes = _taking(asked, Wanted())
    if not found or found[-1].n != n or not takes(found[-1]):
        raise NotFoundError(
            "there is no such record here",
            remedy="the list of the audit log has those that this key may see",
            code="unknown_record",
        )
    record, former = found[-1], found[-2] if len(found) > 1 else None
    return Drawn(
        "audit_record.html",
        {
            "record": record,
            "about": json.dumps(record.about, indent=1, ensure_ascii=False),
            "instants": _instants(record),
            "release": _release(record),
            "erasure": _erasure(record),
            "is_linked": former is not None and former.digest == record.before,
            "former": former,
            **_chain(asked, log),
        },
    )


def _instants(record: Record) -> dict[str, int]:
    """Instants among the particulars, in epoch milliseconds, by name without its unit."""
    return {
        name.removesuffix("_ms"): value
        for name, value in record.about.items()
        if name.endswith("_at_ms") and isinstance(value, int) and 0 <= value < LAST_MS
    }


def _release(record: Record) -> str:
    """Address of the release that a record is about, "" where it is about none."""
    use_case, release = record.about.get("use_case"), record.about.get("release")
    is_one = isinstance(use_case, str) and isinstance(release, int)
    return f"/releases/{use_case}/{release}" if is_one else ""


def _erasure(record: Record) -> str:
    """Address of the erasure that a record is about, "" where it is about none."""
    token = record.about.get("token")
    is_one = record.what in ("forgetting", "forgotten") and isinstance(token, str)
    return f"/erasures/{str(token).partition(':')[2]}" if is_one else ""


PAGES = (
    Page("/audit", overview, verb="audit"),
    Page("/audit/verify", verify, verb="audit", method="POST"),
    Page("/audit/{n}", record_of, verb="audit"),
)
