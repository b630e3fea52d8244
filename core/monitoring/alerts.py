"""Alerts: many findings, few causes, one message each.

Everything that can go wrong is a *finding* about an asset: a check that failed, a run that
failed. Findings are grouped by cause: the asset furthest upstream among those that have one,
because what is downstream of a broken table breaks with it. A group is one *alert*, told once,
again when it gets worse, and a last time when it is over. Its severity is that of its worst
finding, raised or lowered by the risk tier of the use cases that it touches; its runbook says
what to do. Who *acknowledges* an alert has it said no more, as long as it does not get worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from core.clock import DAY_MS
from core.features.plan import Frozen, digest_of

Severity = Literal["info", "warning", "critical"]
RiskTier = Literal["low", "medium", "high"]

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
TIER_STEP: Mapping[RiskTier, int] = {"low": -1, "medium": 0, "high": 1}
RUNBOOKS = "docs/watching.md"
ALERT_PAGE, RUNBOOKS_PAGE = "/alerts/{}", "/alerts/runbooks"
"""Where the console shows one alert, and what to do about each kind of finding."""

REMIND_EVERY_MS = DAY_MS
SHOWN = 5
ID_LETTERS = 12


class Finding(Frozen):
    """One thing that is wrong: of which asset, found by what, how bad, why in words.

    ``cause`` is the asset that is to blame where the finder knows it (a triage does); else that
    is worked out from what is upstream. ``tier`` is the highest risk tier among the use cases
    that the asset serves.
    """

    asset: str
    name: str
    why: str
    severity: Severity
    tier: RiskTier = "medium"
    cause: str = ""
    runbook: str = "a-check-failed"

    @property
    def key(self) -> str:
        """The same for the same finding, however often it is found."""
        return f"{self.asset}:{self.name}"


class Acknowledgement(Frozen):
    """Somebody's word that an alert is known and seen to, and what they knew of it then.

    ``findings`` are keys. ``void_ms`` is when it got worse than that, in epoch milliseconds, and
    the word held no longer; None while it holds.
    """

    who: str
    because: str
    at_ms: int
    severity: Severity
    findings: tuple[str, ...]
    void_ms: int | None = None

    def covers(self, severity: Severity, findings: Iterable[Finding]) -> bool:
        """Whether nothing is worse than it was known: as severe at most, and nothing new found."""
        is_milder = SEVERITIES.index(severity) <= SEVERITIES.index(self.severity)
        return is_milder and {found.key for found in findings} <= set(self.findings)


class Alert(Frozen):
    """Findings of one cause, and what has been told of it.

    ``first_ms`` is when it began, ``over_ms`` when it was over, ``told_ms`` when a receiver last
    took it, and ``told`` the `state` that it took then. All epoch milliseconds.
    ``acknowledged`` is the last word of a person on it, whether it holds or not.
    """

    cause: str
    severity: Severity
    runbook: str
    findings: tuple[Finding, ...]
    first_ms: int
    last_ms: int
    over_ms: int | None = None
    told_ms: int | None = None
    told: str = ""
    acknowledged: Acknowledgement | None = None

    @property
    def alert_id(self) -> str:
        """Id of this occurrence: the same cause later is another."""
        return digest_of([self.cause, self.first_ms])[:ID_LETTERS]

    @property
    def anchor(self) -> str:
        """Place of its runbook on the page of runbooks."""
        return self.runbook.rpartition("#")[2]

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.over_ms is None

    @property
    def word(self) -> Acknowledgement | None:
        """The acknowledgement that holds now; None where nobody gave one, or it got worse since."""
        given = self.acknowledged
        return given if given is not None and given.void_ms is None and self.is_open else None

    @property
    def found(self) -> str:
        """Digest of its severity and of which findings it has."""
        return digest_of([self.severity, sorted(found.key for found in self.findings)])[:ID_LETTERS]

    @property
    def state(self) -> str:
        """What a receiver should know: changes when it gets worse, is acknowledged, or is over.

        One that is acknowledged may change for the better without a word.
        """
        if not self.is_open:
            return "over"
        given = self.word
        if given is not None:
            return digest_of(["acknowledged", given.who, given.at_ms])[:ID_LETTERS]
        return self.found

    def is_due(self, now_ms: int) -> bool:
        """Whether a receiver is to be told: something is new, or a day has gone by."""
        if self.told_ms is None:
            return self.is_open  # one that came and went between two looks is told to nobody
        is_waiting = self.is_open and self.word is None
        is_old = is_waiting and now_ms - self.told_ms >= REMIND_EVERY_MS
        return is_old or self.told != self.state

    def acknowledge(self, *, who: str, because: str, at_ms: int) -> Alert:
        """The alert with somebody's word on it, which takes the place of a former one."""
        given = Acknowledgement(
            who=who,
            because=because,
            at_ms=at_ms,
            severity=self.severity,
            findings=tuple(found.key for found in self.findings),
        )
        return self.model_copy(update={"acknowledged": given})

    def sentence(self) -> str:
        """One line for people: what was found."""
        words = [f"{found.key}: {found.why or 'failed'}" for found in self.findings[:SHOWN]]
        more = len(self.findings) - SHOWN
        return f"{self.cause}: " + "; ".join(words) + (f"; and {more} more" if more > 0 else "")


def severity_of(base: Severity, tier: RiskTier) -> Severity:
    """Severity in a risk tier: one step less where it is low, one more where it is high.

    Examples
    --------
    >>> severity_of("warning", "high"), severity_of("warning", "low"), severity_of("info", "low")
    ('critical', 'info', 'info')
    """
    place = SEVERITIES.index(base) + TIER_STEP[tier]
    return SEVERITIES[min(max(place, 0), len(SEVERITIES) - 1)]


def cause_of(asset: str, failing: Iterable[str], upstream: Mapping[str, Iterable[str]]) -> str:
    """The asset furthest upstream of ``asset``, among those that are ``failing``; it may be itself.

    Of several that are equally far, the first by name.

    Examples
    --------
    >>> upstream = {"scores": ["release", "events"], "release": ["events"]}
    >>> cause_of("scores", ["scores", "events"], upstream), cause_of("scores", [], upstream)
    ('events', 'scores')
    """
    held, level, cause = {asset}, [asset], asset
    blamed = set(failing)
    while level:
        found = sorted(set(level) & blamed)
        cause = found[0] if found else cause
        level = sorted({up for each in level for up in upstream.get(each, ())} - held)
        held |= set(level)
    return cause


def grouped(
    findings: Iterable[Finding], upstream: Mapping[str, Iterable[str]]
) -> dict[str, tuple[Finding, ...]]:
    """Findings by cause, each list in order; of the same finding found twice, the first."""
    once = {finding.key: finding for finding in reversed(list(findings))}
    failing = {finding.asset for finding in once.values()}
    failing |= {finding.cause for finding in once.values() if finding.cause}
    groups: dict[str, list[Finding]] = {}
    for finding in sorted(once.values(), key=lambda found: found.key):
        groups.setdefault(cause_of(finding.cause or finding.asset, failing, upstream), []).append(
            finding
        )
    return {cause: tuple(found) for cause, found in sorted(groups.items())}


def updated(
    held: Sequence[Alert],
    findings: Iterable[Finding],
    upstream: Mapping[str, Iterable[str]],
    *,
    now_ms: int,
) -> list[Alert]:
    """Alerts after a look: known causes go on, new ones begin, those not found any more are over.

    Parameters
    ----------
    held
        Alerts as they were; those that are over stay as they are.
    findings
        All that is wrong now.
    upstream
        What each asset is made of, directly.
    """
    groups = grouped(findings, upstream)
    found = [alert for alert in held if not alert.is_open]
    for alert in (alert for alert in held if alert.is_open):
        still = groups.pop(alert.cause, None)
        if still is None:
            found.append(alert.model_copy(update={"over_ms": now_ms}))
        else:
            found.append(_gone_on(alert, still, now_ms))
    for cause, new in groups.items():
        found.append(Alert(cause=cause, first_ms=now_ms, last_ms=now_ms, **_facts(new)))
    return found


def _gone_on(alert: Alert, findings: tuple[Finding, ...], now_ms: int) -> Alert:
    """An alert with what is found now; a word on it is void once it is worse."""
    after = alert.model_copy(update={**_facts(findings), "last_ms": now_ms})
    given = after.word
    if given is None or given.covers(after.severity, findings):
        return after
    return after.model_copy(update={"acknowledged": given.model_copy(update={"void_ms": now_ms})})


def _facts(findings: tuple[Finding, ...]) -> dict[str, object]:
    """Findings of an alert, its severity, and the runbook of its worst finding."""
    ranked = sorted(
        findings,
        key=lambda found: -SEVERITIES.index(severity_of(found.severity, found.tier)),
    )
    worst = ranked[0]
    return {
        "findings": findings,
        "severity": severity_of(worst.severity, worst.tier),
        "runbook": f"{RUNBOOKS}#{worst.runbook}",
    }


def owner_of(asset: str, names: Iterable[str]) -> str:
    """Use case, of those named, whose own an asset is: the longest name that its own begins with.

    Empty for what is of none of them, as a source that several may read.

    Examples
    --------
    >>> owner_of("monitoring/fraud_eu_drift", ["fraud", "fraud_eu"])
    'fraud_eu'
    >>> owner_of("scores/fraud", ["fraud"]), owner_of("events/frauds", ["fraud"])
    ('fraud', '')
    """
    thing = asset.rpartition("/")[2]
    owners = [name for name in names if f"{thing}_".startswith(f"{name}_")]
    return max(owners, key=len, default="")


def use_cases_of(alert: Alert, names: Iterable[str]) -> set[str]:
    """Use cases, of those named, whose own assets an alert is about."""
    held = list(names)
    assets = {alert.cause, *(found.asset for found in alert.findings)}
    return {owner_of(asset, held) for asset in assets} - {""}


def document_of(alert: Alert, console_url: str = "") -> dict[str, Any]:
    """An alert as a receiver gets it. ``id`` and ``state`` together are told once.

    ``text`` says all that a receiver needs that shows nothing else. ``acknowledged`` is who gave
    their word on it, why and when, while that holds; else None.

    Parameters
    ----------
    console_url
        Where people open the console, such as ``https://ml.example``. ``runbook`` and ``page``
        lead there; empty: ``runbook`` is a place in the documentation, ``page`` nothing.

    Examples
    --------
    >>> late = Finding(asset="events/payments", name="fresh", why="30 h old", severity="warning",
    ...     runbook="a-table-stands-still")
    >>> [alert] = updated([], [late], {}, now_ms=0)
    >>> document_of(alert)["runbook"], document_of(alert)["page"]
    ('docs/watching.md#a-table-stands-still', '')
    >>> told = document_of(alert, "https://ml.example")
    >>> told["runbook"], told["page"] == f"https://ml.example/alerts/{alert.alert_id}"
    ('https://ml.example/alerts/runbooks#a-table-stands-still', True)
    """
    given, root = alert.word, console_url.rstrip("/")
    return {
        "id": alert.alert_id,
        "state": alert.state,
        "is_open": alert.is_open,
        "severity": alert.severity,
        "cause": alert.cause,
        "text": f"{_standing(alert)}{alert.sentence()}",
        "findings": [found.model_dump(mode="json") for found in alert.findings],
        "runbook": f"{root}{RUNBOOKS_PAGE}#{alert.anchor}" if root else alert.runbook,
        "page": f"{root}{ALERT_PAGE.format(alert.alert_id)}" if root else "",
        "first_ms": alert.first_ms,
        "last_ms": alert.last_ms,
        "over_ms": alert.over_ms,
        "acknowledged": None
        if given is None
        else {"who": given.who, "because": given.because, "at_ms": given.at_ms},
    }


def _standing(alert: Alert) -> str:
    if not alert.is_open:
        return "over: "
    given = alert.acknowledged
    if given is None:
        return ""
    if given.void_ms is not None:
        return f"worse since {given.who} acknowledged it: "
    return f"acknowledged by {given.who} ({given.because}): "
