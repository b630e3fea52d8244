"""Alerts are kept, told to a real receiver on this machine, and told again when it failed."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core.clock import DAY_MS
from core.errors import ConfigurationError, DependencyError, IntegrityError, NotReadyError
from core.monitoring.alerts import Finding, document_of, updated
from stores.audit.log import AuditLog
from stores.layout import Layout
from stores.monitoring.alerts import KEPT_MS, Alerts
from stores.monitoring.webhook import SIGNATURE, Webhook, signature_of

FOUND = Finding(asset="events/payments", name="fresh", why="30 h old", severity="warning")


class Inbox(ThreadingHTTPServer):
    """What was taken, with its signature, and the statuses to answer next."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.taken: list[tuple[bytes, str | None]] = []
        self.statuses: list[int] = []


class Receiver(BaseHTTPRequestHandler):
    """Takes what comes, or refuses it with the status that its server has."""

    server: Inbox

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.statuses.pop(0) if self.server.statuses else 204
        if status < 300:
            self.server.taken.append((body, self.headers.get(SIGNATURE)))
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    server = Inbox()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def url_of(server):
    return f"http://127.0.0.1:{server.server_address[1]}/alerts"


@pytest.fixture
def alerts(tmp_path):
    alerts = Alerts(tmp_path / "alerts")
    with alerts.changing():
        alerts.put(updated([], [FOUND], {}, now_ms=10), now_ms=10)
    return alerts


def looked(alerts, findings, now_ms):
    with alerts.changing():
        alerts.put(updated(alerts.all(), findings, {}, now_ms=now_ms), now_ms=now_ms)


def test_an_alert_is_told_once_signed_and_once_more_when_it_is_over(alerts, receiver):
    webhook = Webhook(url_of(receiver), "secret")

    def tell(now_ms):
        return alerts.tell(lambda alert: webhook.post(document_of(alert)), now_ms=now_ms)

    assert len(tell(11)) == 1
    assert tell(12) == []
    looked(alerts, [FOUND], 13)
    assert tell(13) == []
    looked(alerts, [], 14)
    assert len(tell(14)) == 1
    assert tell(15) == []
    (first, signature), (last, _) = receiver.taken
    assert signature == signature_of(first, "secret")
    assert json.loads(first)["text"] == "events/payments: events/payments:fresh: 30 h old"
    assert [json.loads(body)["is_open"] for body in (first, last)] == [True, False]


def test_one_that_was_refused_is_told_again(alerts, receiver):
    receiver.statuses = [503]
    webhook = Webhook(url_of(receiver))
    with pytest.raises(DependencyError, match="status 503"):
        alerts.tell(lambda alert: webhook.post(document_of(alert)), now_ms=11)
    assert len(alerts.tell(lambda alert: webhook.post(document_of(alert)), now_ms=12)) == 1
    assert [signature for _, signature in receiver.taken] == [None]


def test_nobody_there_and_no_address_are_told_apart(receiver):
    receiver.server_close()
    with pytest.raises(DependencyError, match="did not take"):
        Webhook("http://127.0.0.1:9/").post({})
    with pytest.raises(ConfigurationError, match="not http"):
        Webhook("file:///etc/passwd")


def test_open_ones_come_worst_first_and_old_ones_go(tmp_path):
    alerts = Alerts(tmp_path)
    bad = FOUND.model_copy(update={"asset": "z", "severity": "critical"})
    looked(alerts, [FOUND, bad], 10)
    assert [alert.severity for alert in alerts.open()] == ["critical", "warning"]
    looked(alerts, [FOUND], 20)
    assert [alert.cause for alert in alerts.open()] == ["events/payments"]
    looked(alerts, [FOUND], 20 + KEPT_MS + DAY_MS)
    assert [alert.cause for alert in alerts.all()] == ["events/payments"]


def test_one_that_cannot_be_read_is_said(alerts, tmp_path):
    next((tmp_path / "alerts").glob("*.json")).write_text("{")
    with pytest.raises(IntegrityError, match="found again"):
        alerts.all()


def test_an_acknowledgement_is_kept_and_audited_with_its_use_case(tmp_path):
    layout = Layout(tmp_path).create()
    alerts = Alerts(layout.alerts)
    scores = FOUND.model_copy(update={"asset": "scores/toy", "severity": "critical"})
    looked(alerts, [FOUND, scores], 10)
    given = alerts.acknowledge(
        "scores/toy", who="ann", because="retried", now_ms=20, use_cases=["toy", "fraud"]
    )
    assert [alert.cause for alert in alerts.open()] == ["events/payments", "scores/toy"]
    assert alerts.open()[1] == given
    again = alerts.acknowledge(given.alert_id, who="bob", because="mine now", now_ms=30)
    assert alerts.open()[1].word == again.word
    first, second = AuditLog.of(layout, is_signing=False).latest(5)
    assert (first.what, first.who, first.why) == ("alert_acknowledged", "ann", "retried")
    assert first.about["use_cases"] == [{"use_case": "toy"}]
    assert (second.who, second.about["alert"]) == ("bob", given.alert_id)


def test_what_is_over_or_unknown_cannot_be_acknowledged(alerts):
    with pytest.raises(NotReadyError, match="open: events/payments"):
        alerts.acknowledge("events/other", who="ann", because="?", now_ms=20)
    looked(alerts, [], 20)
    with pytest.raises(NotReadyError, match="open: none"):
        alerts.acknowledge("events/payments", who="ann", because="?", now_ms=30)
