"""Pages of alerts: what is wrong now, what was, how often, what to do about it, who does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from core.access import EVERY_USE_CASE
from core.clock import DAY_MS
from core.monitoring.alerts import (
    ALERT_PAGE,
    RUNBOOKS_PAGE,
    Alert,
    Finding,
    owner_of,
    use_cases_of,
)
from core.monitoring.runbooks import STEPS, steps_of
from serving.console.drift import known
from serving.console.forms import line_of
from serving.console.pages import Asking, Drawn, Gone, Page
from serving.errors import NotFoundError
from stores.monitoring.alerts import KEPT_MS, Alerts, in_order

KINDS: Mapping[str, str] = {"critical": "bad", "warning": "warn", "info": "mute"}
LOOKS: Mapping[str, str] = {
    "drift": "/drift/{}",
    "performance": "/drift/{}/performance",
    "calibration": "/drift/{}/performance",
    "stream": "/drift/{}/performance",
}
"""Page of what each look saw."""

SHOWN_OVER = 100
SHOWN_WHOLE = 5
"""The steps of so many alerts stand in the list; those of others on their own pages."""

LONGEST_WHY = 2_000


@dataclass(frozen=True)
class Occurrence:
    """An alert on a page: how often its cause was alerted in what is kept, and what to do.

    ``findings`` are those that the key may see, ``pages`` where more is said of their assets;
    ``may_act`` is whether the key may acknowledge it.
    """

    alert: Alert
    findings: tuple[Finding, ...]
    pages: Mapping[str, str]
    times: int
    may_act: bool

    @property
    def kind(self) -> str:
        """Colour of its severity."""
        return KINDS[self.alert.severity]

    @property
    def anchor(self) -> str:
        """Place of its runbook on the page of runbooks."""
        return self.alert.anchor

    @property
    def steps(self) -> tuple[str, ...]:
        """What to do, step by step."""
        return steps_of(self.alert.runbook)

    @property
    def lasted_ms(self) -> int | None:
        """How long it lasted; None while it is open."""
        over_ms = self.alert.over_ms
        return None if over_ms is None else over_ms - self.alert.first_ms


def overview(asked: Asking) -> Drawn:
    """Open alerts, the worst first; those that are over, the newest first."""
    found = list(_seen(asked))
    opened = [each for each in found if each.alert.is_open]
    over = [each for each in found if not each.alert.is_open]
    return Drawn(
        "alerts.html",
        {
            "opened": sorted(opened, key=lambda each: in_order(each.alert)),
            "n_waiting": sum(each.alert.word is None for each in opened),
            "over": sorted(over, key=lambda each: -each.alert.first_ms)[:SHOWN_OVER],
            "n_over": len(over),
            "shown_whole": SHOWN_WHOLE,
            "kept_days": KEPT_MS // DAY_MS,
        },
    )


def _seen(asked: Asking) -> Iterator[Occurrence]:
    """Alerts, with findings of what the key opens and of what is shared."""
    alerts = Alerts(asked.home.layout.alerts).all()
    times: dict[str, int] = {}
    for alert in alerts:
        times[alert.cause] = times.get(alert.cause, 0) + 1
    names = known(asked.home)
    closed = {name for name in names if not asked.opens("rollouts", name)}
    for alert in alerts:
        findings = tuple(f for f in alert.findings if owner_of(f.asset, names) not in closed)
        if findings and owner_of(alert.cause, names) not in closed:
            may_act = alert.is_open and asked.opens("operate", *_touched(alert, names))
            pages = {found.asset: page_of(found.asset, names) for found in findings}
            yield Occurrence(alert, findings, pages, times[alert.cause], may_act)


def page_of(asset: str, names: Iterable[str]) -> str:
    """Where this console says more of an asset: "" where it does not.

    Examples
    --------
    >>> page_of("monitoring/fraud_drift", ["fraud"]), page_of("scores/fraud", ["fraud"])
    ('/drift/fraud', '/use-cases/fraud')
    >>> page_of("monitoring/fraud_stream", ["fraud"]), page_of("events/payments", ["fraud"])
    ('/drift/fraud/performance', '')
    """
    use_case = owner_of(asset, names)
    if not use_case:
        return ""
    look = asset.removeprefix(f"monitoring/{use_case}_")
    return LOOKS.get(look, "/use-cases/{}").format(use_case)


def _touched(alert: Alert, names: list[str]) -> tuple[str, ...]:
    """Use cases on which whoever acknowledges an alert may act: all, where it is of no own one."""
    return tuple(use_cases_of(alert, names)) or (EVERY_USE_CASE,)


def alert_of(asked: Asking) -> Drawn:
    """One alert with all of its findings, and when its cause was alerted before."""
    found = list(_seen(asked))
    occurrence = _wanted(asked, found)
    before = [
        each
        for each in found
        if each.alert.cause == occurrence.alert.cause and each is not occurrence
    ]
    before.sort(key=lambda each: -each.alert.first_ms)
    return Drawn("alert.html", {"each": occurrence, "before": before})


def _wanted(asked: Asking, found: list[Occurrence]) -> Occurrence:
    for each in found:
        if each.alert.alert_id == asked.path["alert_id"]:
            return each
    raise NotFoundError(
        "there is no such alert here",
        remedy=f"those that are over are kept {KEPT_MS // DAY_MS} days; see the list of alerts",
        code="unknown_alert",
    )


def acknowledge(asked: Asking) -> Gone:
    """Put down that whoever asks sees to an alert."""
    alert, names = _wanted(asked, list(_seen(asked))).alert, known(asked.home)
    asked.require("operate", *_touched(alert, names))
    because = line_of(asked.form, "because", longest=LONGEST_WHY)
    Alerts(asked.home.layout.alerts).acknowledge(
        alert.alert_id, who=asked.who, because=because, now_ms=asked.now_ms, use_cases=names
    )
    said = "Acknowledged: it is not sent again until it gets worse, or is over."
    return Gone(f"/alerts/{alert.alert_id}", said)


def runbooks(asked: Asking) -> Drawn:
    """What to do about each kind of finding."""
    del asked
    return Drawn("runbooks.html", {"runbooks": STEPS})


PAGES = (
    Page("/alerts", overview, verb="rollouts"),
    Page(RUNBOOKS_PAGE, runbooks, verb="rollouts"),
    Page(ALERT_PAGE.format("{alert_id}"), alert_of, verb="rollouts"),
    Page("/alerts/{alert_id}/acknowledge", acknowledge, verb="operate", method="POST"),
)
