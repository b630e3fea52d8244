"""Pages of alerts: one cause, one alert; how bad, since when, how often, what to do."""

from __future__ import annotations

import pytest
from access_keys import made_key
from bundles import serve, shelve
from console_home import Console

from core.clock import DAY_MS, HOUR_MS, FixedClock
from core.monitoring.alerts import Finding, updated
from core.monitoring.runbooks import STEPS
from stores.layout import Layout
from stores.monitoring.alerts import Alerts

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
    assert "2 open; 2 of them wait for somebody, and stand first" in words
    begin = [words.index(each) for each in ("critical scores/toy", "warning events/payments")]
    assert begin == sorted(begin)
    assert "For 2 h, since" in words
    assert "Time 2 in 90 days. Sent to nobody" in words
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
    steps = "".join(STEPS["a-table-stands-still"]).replace("`", "").replace(" ", "")
    assert steps in reply.words.replace(" ", "")
    assert "<code>throughline status</code>" in reply.text
    assert "Before" in reply.words
    [former] = [each for each in reply.links if each.startswith("/alerts/") and each != path]
    assert "Over after 3 h" in console.get(former).words


def test_an_alert_leads_to_the_pages_of_what_it_is_about(console, layout):
    shared, own = path_of(layout, "events/payments"), path_of(layout, "scores/toy")
    assert "/drift/toy" in console.get(shared).links
    assert "/use-cases/toy" in console.get(own).links


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


def path_of(layout, cause):
    return next(
        f"/alerts/{each.alert_id}" for each in Alerts(layout.alerts).open() if each.cause == cause
    )


def test_an_alert_is_acknowledged_by_its_form_and_then_stands_below_those_that_wait(
    console, layout
):
    path = path_of(layout, "scores/toy")
    form = {"because": "restarted the job"}
    sent = console.post(f"{path}/acknowledge", form, page=path)
    assert (sent.status, sent.headers["location"]) == (303, path)
    words = console.get(path).words
    assert "Acknowledged: it is not sent again" in words
    assert "acknowledged it just now: restarted the job" in words
    listed = console.get("/alerts").words
    assert "2 open; 1 of them waits for somebody" in listed
    assert listed.index("warning events/payments") < listed.index("critical acknowledged")
    assert "1 acknowledged" in console.get("/").words
    assert "critical acknowledged scores/toy" in console.get("/use-cases/toy").words
    empty = console.post(f"{path}/acknowledge", {"because": ""}, page=path)
    assert empty.status == 422


def test_a_page_says_that_an_acknowledged_one_got_worse(console, layout):
    path = path_of(layout, "scores/toy")
    console.post(f"{path}/acknowledge", {"because": "known"}, page=path)
    more = RUN.model_copy(update={"name": "run of other"})
    looked(layout, [STALE, DRIFT, RUN, more], NOW_MS)
    assert "Open again: it got worse just now" in console.get(path).words
    assert "Open again" in console.get("/alerts").words


def test_acknowledging_takes_operate_on_what_the_alert_is_about(layout):
    own, shared = path_of(layout, "scores/toy"), path_of(layout, "events/payments")
    form = {"because": "known"}
    scopes = ["toy:rollouts", "toy:rollouts,operate", "*:rollouts,operate"]
    reader, operator, everybody = (made_key(layout, [scope]) for scope in scopes)
    console = Console(layout, FixedClock(NOW_MS))
    assert "Takes a key that opens operate" in console.get(own, reader).words
    assert console.post(f"{own}/acknowledge", form, operator, page=own).status == 303
    alert = next(each for each in Alerts(layout.alerts).open() if each.cause == "scores/toy")
    assert alert.word is not None
    assert alert.word.because == "known"
    looked(layout, [STALE, RUN], NOW_MS)  # what is left is of no use case alone
    assert "Takes a key that opens operate" in console.get(shared).words
    assert console.post(f"{shared}/acknowledge", form, page="/rollouts/toy").status == 403
    assert console.post(f"{shared}/acknowledge", form, everybody, page=shared).status == 303
