"""The overview: every use case with its owner, what serves, what is wrong, what was scored last.

Those that are declared and have no release yet are there with what is missing.
"""

from __future__ import annotations

from typing import Any

from core.errors import PlatformError
from core.monitoring.alerts import Alert, use_cases_of
from serving.console.beginnings import beginning, beginnings
from serving.console.objectives import promised
from serving.console.pages import Asking, Drawn, Home, Page
from serving.console.tables import score_dates
from serving.errors import NotFoundError
from stores.monitoring.alerts import Alerts
from stores.shelf.archives import archived
from stores.shelf.bundle import Manifest, read_manifest
from stores.shelf.channels import ChannelState

SHOWN_DATES = 3
SHOWN_RELEASES = 5
SHOWN_ALERTS = 5


def overview(asked: Asking) -> Drawn:
    """Every use case that the key opens."""
    channels, alerts = asked.home.channels(), Alerts(asked.home.layout.alerts).open()
    cards = [_card(asked.home, name, channels.state(name), alerts) for name in asked.use_cases()]
    waiting = [alert for alert in alerts if alert.word is None]
    facts = {
        "cards": cards,
        "beginnings": list(beginnings(asked)),
        "n_alerts": len(alerts),
        "n_waiting": len(waiting),
    }
    return Drawn("overview.html", facts)


def use_case(asked: Asking) -> Drawn:
    """One use case: what it is, what serves, its releases, where to go on."""
    home, name = asked.home, asked.path["use_case"]
    if name not in home.shelf.use_cases():
        return _begun(home, name)
    state = home.channels().state(name)
    card = _card(home, name, state, Alerts(home.layout.alerts).open())
    manifest = card["manifest"]
    facts = {
        "card": card,
        "plan": manifest.plan if manifest else None,
        "promised": promised(home, name, manifest, asked.now_ms) if manifest else None,
        "state": state,
        "shown_alerts": SHOWN_ALERTS,
    }
    return Drawn("use_case.html", facts)


def _begun(home: Home, name: str) -> Drawn:
    """A use case that has no release yet."""
    found = beginning(home, name)
    if found is None:
        raise NotFoundError(
            "there is no such use case here",
            remedy="the overview has those that are declared or have a release on the shelf",
            code="unknown_use_case",
        )
    return Drawn("beginning.html", {"each": found})


def _card(home: Home, name: str, state: ChannelState, alerts: list[Alert]) -> dict[str, Any]:
    releases, names = home.shelf.releases(name), home.shelf.use_cases()
    manifest, trouble = _manifest(home, name, state, releases)
    return {
        "name": name,
        "manifest": manifest,
        "trouble": trouble,
        "state": state,
        "releases": list(reversed(releases))[:SHOWN_RELEASES],
        "n_releases": len(releases),
        "n_archived": sum(archived(home.shelf, name, n) is not None for n in releases),
        "alerts": [alert for alert in alerts if name in use_cases_of(alert, names)],
        "dates": score_dates(home.layout.scores(name), latest=SHOWN_DATES),
    }


def _manifest(
    home: Home, name: str, state: ChannelState, releases: tuple[int, ...]
) -> tuple[Manifest | None, str]:
    """Manifest of the champion, else of the newest release; and why it cannot be read."""
    release = state.champion or (releases[-1] if releases else None)
    if release is None:
        return None, ""
    try:
        return read_manifest(home.shelf.bundle(name, release)), ""
    except PlatformError as error:
        return None, f"release {release}: {error}"


PAGES = (
    Page("/", overview, "rollouts"),
    Page("/use-cases/{use_case}", use_case, "rollouts"),
)
