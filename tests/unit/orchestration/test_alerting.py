"""Failing checks and failed runs become alerts, grouped by cause, told to a real receiver."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import pytest

from assets.resources import AlertReceiver, Platform
from core.errors import DependencyError
from core.monitoring.alerts import Finding, updated
from orchestration.alerting import Watchlist, alerts_job, decided, told
from orchestration.cli import main
from orchestration.decisions import Go, Skip
from stores.layout import Layout
from stores.monitoring.alerts import Alerts

EVENTS, SCORES = dg.AssetKey(["events", "payments"]), dg.AssetKey(["scores", "toy"])
CONTRACT = dg.AssetCheckKey(EVENTS, "contract")
SPREAD = dg.AssetCheckKey(SCORES, "spread")
WATCHED = Watchlist(
    checks=(CONTRACT, SPREAD),
    blocking=frozenset({CONTRACT}),
    upstream={"scores/toy": ["events/payments"]},
    tiers={"events/payments": "medium", "scores/toy": "high"},
    jobs={"daily": "scores/toy"},
)


@pytest.fixture
def platform(tmp_path):
    layout = Layout(tmp_path).create()
    return Platform(home=str(tmp_path), online_url=layout.online_url, tracking_uri="sqlite://")


def said(instance, key, *, passed, warn=False, why=""):
    """Put a check's word into the instance, as a run would."""

    @dg.asset(key=key.asset_key, check_specs=[dg.AssetCheckSpec(key.name, asset=key.asset_key)])
    def asset():
        severity = dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR
        result = dg.AssetCheckResult(
            check_name=key.name, passed=passed, severity=severity, description=why
        )
        return dg.MaterializeResult(check_results=[result])

    dg.materialize([asset], instance=instance)


def run_of(instance, *, fails):
    @dg.op
    def work():
        if fails:
            raise ValueError("broken")

    @dg.job(name="daily")
    def job():
        work()

    job.execute_in_process(instance=instance, raise_on_error=False)


@contextmanager
def receiving():
    """A receiver on this machine, and what it took."""
    taken: list[dict] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield AlertReceiver(url=f"http://127.0.0.1:{server.server_address[1]}/"), taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_fails_is_found_with_its_severity_and_is_gone_when_it_passes(instance):
    assert WATCHED.findings(instance) == []
    said(instance, CONTRACT, passed=False, why="nulls")
    said(instance, SPREAD, passed=False, warn=True)
    found = {finding.key: finding for finding in WATCHED.findings(instance)}
    assert found["events/payments:contract"].severity == "critical"
    assert found["events/payments:contract"].why == "nulls"
    assert found["scores/toy:spread"].severity == "info"
    assert found["scores/toy:spread"].tier == "high"
    said(instance, CONTRACT, passed=True)
    assert [finding.key for finding in WATCHED.findings(instance)] == ["scores/toy:spread"]


def test_a_job_is_wrong_until_its_next_run_succeeds(instance):
    run_of(instance, fails=True)
    [finding] = WATCHED.findings(instance)
    assert (finding.key, finding.runbook) == ("scores/toy:run of daily", "a-run-failed")
    run_of(instance, fails=False)
    assert WATCHED.findings(instance) == []


def test_one_cause_is_told_once_and_once_more_when_it_is_over(instance, platform):
    said(instance, CONTRACT, passed=False, why="nulls")
    said(instance, SPREAD, passed=False)
    with receiving() as (receiver, taken):
        assert isinstance(decided(instance, platform, receiver, WATCHED), Go)
        [alert] = told(instance, platform, receiver, WATCHED)
        assert alert.cause == "events/payments"
        assert isinstance(decided(instance, platform, receiver, WATCHED), Skip)
        assert told(instance, platform, receiver, WATCHED) == []
        said(instance, CONTRACT, passed=True)
        said(instance, SPREAD, passed=True)
        assert isinstance(decided(instance, platform, receiver, WATCHED), Go)
        told(instance, platform, receiver, WATCHED)
    assert [(each["severity"], each["is_open"]) for each in taken] == [
        ("critical", True),
        ("critical", False),
    ]
    assert {found["asset"] for found in taken[0]["findings"]} == {"events/payments", "scores/toy"}


def test_what_is_posted_leads_to_the_console_where_its_address_is_known(instance, platform):
    said(instance, CONTRACT, passed=False)
    with receiving() as (receiver, taken):
        known = AlertReceiver(url=receiver.url, console_url="https://console.example/")
        [alert] = told(instance, platform, known, WATCHED)
    assert taken[0]["runbook"] == "https://console.example/alerts/runbooks#a-check-failed"
    assert taken[0]["page"] == f"https://console.example/alerts/{alert.alert_id}"


def test_an_acknowledged_one_is_told_as_such_then_only_when_worse_or_over(instance, platform):
    said(instance, CONTRACT, passed=False)
    alerts = Alerts(platform.layout.alerts)
    with receiving() as (receiver, taken):
        told(instance, platform, receiver, WATCHED)
        alerts.acknowledge("events/payments", who="ann", because="asked the sender", now_ms=20)
        assert isinstance(decided(instance, platform, receiver, WATCHED), Go)
        told(instance, platform, receiver, WATCHED)
        assert isinstance(decided(instance, platform, receiver, WATCHED), Skip)
        said(instance, SPREAD, passed=False)
        assert isinstance(decided(instance, platform, receiver, WATCHED), Go)
        told(instance, platform, receiver, WATCHED)
    words = [each["acknowledged"] and each["acknowledged"]["who"] for each in taken]
    assert words == [None, "ann", None]
    assert taken[2]["text"].startswith("worse since ann acknowledged it")


def test_alerts_are_kept_where_there_is_no_receiver_and_where_it_fails(instance, platform):
    said(instance, CONTRACT, passed=False)
    assert told(instance, platform, AlertReceiver(), WATCHED) == []
    [kept] = Alerts(platform.layout.alerts).open()
    assert kept.told_ms is None
    assert isinstance(decided(instance, platform, AlertReceiver(), WATCHED), Skip)
    nobody = AlertReceiver(url="http://127.0.0.1:9/")
    with pytest.raises(DependencyError, match="told again"):
        told(instance, platform, nobody, WATCHED)
    assert isinstance(decided(instance, platform, nobody, WATCHED), Go)


def test_the_job_fails_where_the_receiver_does(instance, platform):
    said(instance, CONTRACT, passed=False)
    run = alerts_job(WATCHED).execute_in_process(
        instance=instance,
        resources={"platform": platform, "receiver": AlertReceiver(url="http://127.0.0.1:9/")},
        raise_on_error=False,
    )
    assert not run.success


def test_the_command_lists_what_is_open_and_what_to_do(tmp_path, capsys):
    home = tmp_path
    assert main(["alerts", "--home", str(home)]) == 0
    assert "no alert is open" in capsys.readouterr().out
    found = Finding(asset="events/payments", name="contract", why="nulls", severity="warning")
    alerts = Alerts(Layout(home).alerts)
    with alerts.changing():
        alerts.put(updated([], [found], {}, now_ms=10), now_ms=10)
    assert main(["alerts", "--home", str(home)]) == 1
    out = capsys.readouterr().out
    assert "warning   events/payments" in out
    assert "do: docs/watching.md#a-check-failed" in out
    assert "next: throughline alerts acknowledge events/payments --because" in out
    word = ["acknowledge", "events/payments", "--because", "known", "--who", "ann"]
    assert main(["alerts", "--home", str(home), *word]) == 0
    assert "not sent again until it gets worse" in capsys.readouterr().out
    assert main(["alerts", "--home", str(home)]) == 0
    out = capsys.readouterr().out
    assert "acknowledged by ann" in out
    assert "ago: known" in out
    assert main(["alerts", "--home", str(home), "acknowledge", "else", "--because", "?"]) != 0
    assert "no alert with this cause or id is open" in capsys.readouterr().err
    with alerts.changing():
        alerts.put(updated(alerts.all(), [], {}, now_ms=20), now_ms=20)
    assert main(["alerts", "--home", str(home), "--all"]) == 0
    assert "over      events/payments" in capsys.readouterr().out
