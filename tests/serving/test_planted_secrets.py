"""Secrets and personal values, put into every entry of real processes: none comes out again.

What comes out is every log, every answer with its headers, every metric, and what the command
line says. Records are not among it: they hold what their contract says (docs/records.md).
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import subprocess
import sys
import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from access_keys import made_key
from bundles import REQUEST, serve, shelve
from online_processes import ROOT, OnlineProcess, controller, folder, service
from prometheus_client import CollectorRegistry

from core.clock import SystemClock
from orchestration.processes import free_port
from serving.access import Access
from serving.settings import HttpSettings
from serving.telemetry.log_lines import set_up_logs
from serving.telemetry.metrics import Telemetry
from serving.transport.rest import Services, build_app
from stores.keys.access_keys import AccessKeyFile
from stores.layout import Layout
from stores.log.source_log import SourceLog
from stores.shelf.shelf import Shelf

pytestmark = pytest.mark.slow

CARD = "4929384756473829"
PLANTED = {
    "bearer": "tl_0123456789ab_" + "7e57" * 16,
    "basic": base64.b64encode(b"ada:planted-basic-pw").decode(),
    "query": "planted-query-5d1f",
    "cookie": "planted-cookie-88aa",
    "header": "planted-header-12cd",
    "path": "planted-path-77fe",
    "record": "planted-record-31ab",
    "card": CARD,
    "email": "planted.person@example.org",
    "phone": "+49 151 planted 2345",
    "wrong type": "planted-type-90aa",
    "unknown field": "planted-field-4e4e",
    "unknown name": "planted_name_6b6b",
    "broken": "planted-broken-0c0c",
    "event": "planted-event-a1a1",
    "event id": "planted-id-b2b2",
    "logged": "planted-logged-c3c3",
    "redis": "planted-redis-d4d4",
    "redis user": "planteduser",
    "storage": "planted-storage-e5e5/K7MDENG",
    "session": "planted-session-f6f6",
    "setting": "planted-setting-0707",
    "variable": "planted-variable-1818",
    "request": "planted-request-2929",
    "exception": "planted-exception-3a3a",
    "service key": "tl_abcdef012345_" + "5ec2" * 16,
}
JSON = {"content-type": "application/json"}
PREDICT, EVENTS = "/v1/toy/predictions", "/v1/events/payments"


def found_in(text: str) -> list[str]:
    """Which of the planted things stand in a text."""
    forms = {name: value for name, value in PLANTED.items()}
    forms["basic, decoded"] = "planted-basic-pw"
    return [name for name, value in forms.items() if value in text]


def with_fields(**changes: Any) -> bytes:
    entities, inputs = {**REQUEST["entities"]}, {**REQUEST["inputs"]}
    for name, value in changes.items():
        (entities if name in entities else inputs)[name] = value
    return json.dumps({"entities": entities, "inputs": inputs}).encode()


def event(**changes: Any) -> bytes:
    plain = {"event_id": "e1", "event_timestamp": 0, "card_id": "c1", "terminal_id": "t1"}
    return json.dumps({**plain, "amount_minor": 5, **changes}).encode()


REQUESTS: dict[str, tuple[str, str, dict[str, str], bytes]] = {
    "bearer": ("POST", PREDICT, {"authorization": f"Bearer {PLANTED['bearer']}"}, with_fields()),
    "basic": ("POST", PREDICT, {"authorization": f"Basic {PLANTED['basic']}"}, with_fields()),
    "query": ("POST", f"{PREDICT}?api_key={PLANTED['query']}", {}, with_fields(amount_minor=0)),
    "cookie": ("POST", PREDICT, {"cookie": f"session={PLANTED['cookie']}"}, b"{"),
    "header": ("POST", PREDICT, {"x-api-key": PLANTED["header"]}, b"["),
    "path": ("POST", f"/v1/{PLANTED['path']}/predictions", {}, with_fields()),
    "events path": ("POST", f"/v1/events/{PLANTED['path']}", {}, event()),
    "any path": ("GET", f"/{PLANTED['path']}?x={PLANTED['query']}", {}, b""),
    "record": ("GET", f"/v1/predictions/{PLANTED['record']}", {}, b""),
    "replay": ("GET", f"/v1/predictions/toy-{PLANTED['record']}-1-0/replay", {}, b""),
    "rollout": ("GET", f"/v1/rollouts/{PLANTED['path']}", {}, b""),
    "card": ("POST", PREDICT, {}, with_fields(card_id=f"{CARD} {CARD}")),
    "email": ("POST", PREDICT, {}, with_fields(card_id=PLANTED["email"])),
    "phone": ("POST", PREDICT, {}, with_fields(terminal_id=PLANTED["phone"] * 9)),
    "wrong type": ("POST", PREDICT, {}, with_fields(amount_minor=PLANTED["wrong type"])),
    "unknown field": ("POST", PREDICT, {}, with_fields(note=PLANTED["unknown field"])),
    "unknown name": ("POST", PREDICT, {}, with_fields(**{PLANTED["unknown name"]: 1})),
    "at": ("POST", PREDICT, {}, with_fields()[:-1] + f', "at": "{CARD}"}}'.encode()),
    "broken": ("POST", PREDICT, {}, f'{{"entities": "{PLANTED["broken"]}'.encode()),
    "batch": (
        "POST",
        f"{PREDICT}:batch",
        {},
        b'{"points": [' + with_fields(card_id=PLANTED["email"]) + b"]}",
    ),
    "media type": ("POST", PREDICT, {"content-type": PLANTED["header"]}, with_fields()),
    "event": ("POST", EVENTS, {}, event(amount_minor=PLANTED["event"])),
    "event id": ("POST", EVENTS, {}, event(event_id=PLANTED["event id"] * 99)),
    "event with more": ("POST", EVENTS, {}, event(note=PLANTED["event"])),
    "events": ("POST", EVENTS, {}, b"[" + event(card_id=None, note=CARD) + b"]"),
}


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "home").create()
    serve(layout, shelve(layout), counter=1)
    return layout


def written(answer: httpx.Response) -> str:
    return f"{answer.status_code} {dict(answer.headers)} {answer.text}"


def asked(url: str, key: str) -> str:
    """Everything that comes back for the planted requests, and every page after them."""
    own = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, timeout=60) as client:
        answers = [
            client.request(method, path, headers={**own, **JSON, **headers}, content=body)
            for method, path, headers, body in REQUESTS.values()
        ]
        assert all(answer.status_code >= 400 for answer in answers[4:])
        pages = [client.get(path) for path in ("/metrics", "/readyz", "/docs", "/openapi.json")]
        assert client.post(PREDICT, headers=own, json=REQUEST).status_code == 200
    return "\n".join(written(answer) for answer in [*answers, *pages])


def logs(*processes: OnlineProcess) -> str:
    """What the processes said, each line of it JSON."""
    texts = [process.log.read_text() for process in processes]
    for line in "".join(texts).splitlines():
        assert {"at", "level", "process", "message"} <= json.loads(line).keys(), line
    return "\n".join(texts)


def test_nothing_that_was_planted_comes_out_of_service_folder_and_controller(layout, monkeypatch):
    made = made_key(layout, ["*:predict,explain,passports,events,rollouts"])
    bad = [event(amount_minor=PLANTED["logged"]), b'{"event_id": "' + PLANTED["logged"].encode()]
    SourceLog(layout.log_dir("payments"), "payments").append(bad, now_ms=1_767_225_600_000)
    board = Shelf(layout.shelf).board
    now_ms = SystemClock().now_ms()
    board.ask("promote", "toy", release=99, why=PLANTED["request"], who="ada", at_ms=now_ms)
    no_request = json.dumps({"why": PLANTED["request"], PLANTED["unknown name"]: CARD})
    (layout.shelf / "requests" / f"{now_ms}-0123456789ab.json").write_text(no_request)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PLANTED["storage"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", PLANTED["session"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    user = f"{PLANTED['redis user']}:{PLANTED['redis']}"
    away = {
        "LOG__FORM": "json",
        "ONLINE_URL": f"redis://{user}@127.0.0.1:{free_port()}/0",  # nobody is there
        "LAKE_URI": "s3://bucket/lake",
        "RECORDS__SEAL_AFTER_MS": 100,
        "RECORDS__SHIP_EVERY_MS": 50,
    }
    with (
        service(layout, **away) as answering,
        folder(layout, **away) as folding,
        controller(layout, **away) as controlling,
    ):
        said = asked(answering.url, made)
        answering.wait_until(lambda: "records stay on this machine" in answering.log.read_text())
        folding.wait_until(lambda: "Redis" in folding.log.read_text())
        controlling.wait_until(lambda: controlling.log.read_text().count("refused") == 2)
    everything = said + logs(answering, folding, controlling)
    assert found_in(everything) == []
    assert made not in everything


def test_nothing_comes_out_where_the_store_answers_and_the_folder_reads_bad_rows(layout):
    bad = [event(amount_minor=PLANTED["logged"]), b'{"event_id": "' + PLANTED["logged"].encode()]
    SourceLog(layout.log_dir("payments"), "payments").append(bad, now_ms=1_767_225_600_000)
    with (
        service(layout, LOG__FORM="json") as answering,
        folder(layout, LOG__FORM="json") as folding,
    ):
        said = asked(answering.url, PLANTED["bearer"])
        sources = f"{answering.url}/readyz"
        answering.wait_until(lambda: httpx.get(sources).json()["sources"]["payments"] is not None)
    assert found_in(said + logs(answering, folding)) == []


URL_OF_A_STORE = f"{PLANTED['redis user']}:{PLANTED['redis']}@db"


@pytest.mark.parametrize(
    ("module", "variables"),
    [
        ("main", {"HTTP__PORT": PLANTED["setting"]}),
        ("main", {"HTTP": f'{{"port": "{PLANTED["setting"]}"'}),
        ("main", {"HTTP": f'{{"max_body_bytes": "{PLANTED["setting"]}"}}'}),
        ("folder", {"ENVIRONMENT": PLANTED["setting"]}),
        ("controller", {"NO_SUCH_SETTING": PLANTED["variable"]}),
        ("main", {"ONLINE_URL": f"oracle://{URL_OF_A_STORE}"}),
        ("main", {"ONLINE_URL": f"redis://{URL_OF_A_STORE}:port/0"}),
        ("folder", {"ONLINE_URL": f"redis://{URL_OF_A_STORE}:port/0"}),
    ],
)
def test_settings_that_cannot_be_used_end_a_process_and_are_not_repeated(layout, module, variables):
    started = OnlineProcess(f"serving.{module}", layout, free_port(), **variables)
    try:
        assert started.process.wait(timeout=60) == 1
    finally:
        started.end()
    assert started.log.read_text()
    assert found_in(started.log.read_text()) == []


class Failing:
    """An engine that fails as nobody foresaw, with a message that repeats what was sent."""

    async def predict(self, use_case: str, raw: object, said: object) -> None:
        raise RuntimeError(f"cannot score {PLANTED['exception']} of {raw}")


@pytest.fixture
def json_log(capfd, monkeypatch):
    """What this process says meanwhile as such lines."""
    # Importing Feast in this process sets them for every user of prometheus_client.
    monkeypatch.delenv("prometheus_multiproc_dir", raising=False)
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    kept = logging.getLogger().handlers[:], sys.excepthook, threading.excepthook
    set_up_logs("service", {}, is_json=True)
    yield lambda: capfd.readouterr().err
    logging.getLogger().handlers[:], sys.excepthook, threading.excepthook = kept
    logging.captureWarnings(capture=False)


def test_an_exception_s_message_reaches_neither_the_answer_nor_the_log(json_log, tmp_path):
    clock = SystemClock()
    services: Any = SimpleNamespace(**dict.fromkeys(Services.__dataclass_fields__))
    services.engine, services.clock, services.http = Failing(), clock, HttpSettings()
    services.telemetry = Telemetry(CollectorRegistry())
    services.access = Access(AccessKeyFile(tmp_path / "access"), clock, print, n_workers=1)
    app: Any = build_app(services, lambda app: nullcontext())

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.post(PREDICT, json=REQUEST)

    answer = asyncio.run(ask())
    assert answer.status_code == 500
    said = json_log()
    assert json.loads(said)["error"] == "RuntimeError"
    assert "test_planted_secrets.py" in json.loads(said)["where"][0]
    assert found_in(said + written(answer)) == []


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "fraud", "card_id=c1", f"amount_minor={PLANTED['wrong type']}"),
        ("why", PLANTED["record"]),
        ("replay", PLANTED["record"]),
        ("status",),
    ],
    ids=lambda words: words[0],
)
def test_the_command_line_does_not_say_its_key_nor_a_url_s_password(layout, words):
    variables = {
        "THROUGHLINE_HOME": str(layout.root),
        "THROUGHLINE_SERVICE_KEY": PLANTED["service key"],
        "THROUGHLINE_ONLINE_URL": f"redis://u:{PLANTED['redis']}@127.0.0.1:{free_port()}/0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "orchestration.cli", *words],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found_in(done.stdout + done.stderr) == []
