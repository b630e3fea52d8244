"""Pages of alerts: one cause, one alert; how bad, since when, how often, what to do."""

from __future__ import annotations

import pytest
from access_keys import made_key
from bundles import serve, shelve
from console_home import Console

from core.alerts import Finding, updated
from core.clock import DAY_MS, HOUR_MS, FixedClock
from core.runbooks import STEPS
from stores.alerts import Alerts
from stores.layout import Layout

NOW_MS = 100 * DAY_MS
UPSTREAM = {"monitoring/toy_drift": ["events/payments"]}
STALE = Finding(
    asset="events/payments", name="every_table_is_fresh", why="nothing of the last 30 h",
    severity="warning", runbook="a-table-stands-still",
)  # fmt: skip
DRIFT = Finding(
    asset="monitoring/toy_drift", name="nothing_has_drifted", why="<amount> moved",
    severity="info", tier="low", runbook="real-drift",
)  # fmt: skip
RUN = Finding(
    asset="scores/toy", name="run of score_toy", why="run 1a2b failed", severity="critical",
    runbook="a-run-failed",
)  # fmt: skip


def looked(layout, findings, now_ms):
    alerts = Alerts(layout.alerts)
    with alerts.changing():
        alerts.put(updated(alerts.all(), findings, UPSTREAM, now_ms=now_ms), now_ms=now_ms)


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    looked(layout, [STALE], NOW_MS - 9 * DAY_MS)
    looked(layout, [], NOW_MS - 9 * DAY_MS + 3 * HOUR_MS)
    looked(layout, [STALE, DRIFT, RUN], NOW_MS - 2 * HOUR_MS)
    return layout


@pytest.fixture
def console(layout):
    return Console(layout, FixedClock(NOW_MS))


def test_open_ones_stand_first_the_worst_on_top_with_what_to_do(console):
    words = console.get("/alerts").words
    assert "2 open" in words
    begin = [words.index(each) for each in ("critical scores/toy", "warning events/payments")]
    assert begin == sorted(begin)
    assert "For 2 h, since" in words
    assert "Time 2 in 90 days. Told nobody" in words
    assert "monitoring/toy_drift:nothing_has_drifted : <amount> moved" in words
    assert STEPS["a-run-failed"][0] in words
    assert words.index(" Over Kept 90 days") > max(begin)
    assert "every table is fresh 3 h 2" in words


def test_an_alert_has_a_page_with_all_findings_all_steps_and_what_was_before(console, layout):
    listed = console.get("/alerts")
    ids = {alert.cause: alert.alert_id for alert in Alerts(layout.alerts).open()}
    path = f"/alerts/{ids['events/payments']}"
    assert path in listed.links
    reply = console.get(path)
    assert reply.status == 200
    assert "Open for 2 h" in reply.words
    assert all(step in reply.words for step in STEPS["a-table-stands-still"])
    assert "Before" in reply.words
    [former] = [each for each in reply.links if each.startswith("/alerts/") and each != path]
    assert "Over after 3 h" in console.get(former).words


def test_every_runbook_has_its_place_on_the_page_of_runbooks(console):
    reply = console.get("/alerts/runbooks")
    assert all(f'id="{anchor}"' in reply.text for anchor in STEPS)


def test_an_empty_home_says_what_would_bring_an_alert(tmp_path):
    words = Console(Layout(tmp_path).create()).get("/alerts").words
    assert "No alert is open. A sensor looks each minute" in words


def test_an_unknown_alert_is_not_there(console):
    assert console.get("/alerts/0123456789ab").status == 404


def test_a_key_sees_alerts_of_its_use_cases_and_of_what_is_shared(layout):
    key = made_key(layout, ["fraud:rollouts"])
    words = Console(layout).get("/alerts", key).words
    assert "scores/toy" not in words
    assert "events/payments:every_table_is_fresh" in words
    assert "toy_drift" not in words
    hidden = next(each for each in Alerts(layout.alerts).open() if each.cause == "scores/toy")
    assert Console(layout).get(f"/alerts/{hidden.alert_id}", key).status == 404
