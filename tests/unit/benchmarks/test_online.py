from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from benchmarks.floors import Section
from benchmarks.measure import Measurement, largest_rss_bytes, tree_rss_bytes
from benchmarks.online import (
    Target,
    failed,
    largest_difference,
    middle,
    number,
    open_looped,
    share,
)
from benchmarks.online_data import (
    CANDIDATES,
    Log,
    drawn_world,
    ready_features,
    values_of,
    write_bodies,
)
from benchmarks.peers.twin import request_time
from benchmarks.servers import Probe, Server, running
from core.clock import DAY_MS
from core.errors import DependencyError
from core.features.keys import entity_key
from core.features.oracle import KnownAt, Row, view_values
from core.features.plan import AttributeFeature, Plan, ViewPlan, WindowFeature
from orchestration.processes import free_port
from use_cases.fraud import transforms

AT_MS = 1_767_225_600_000
CARDS = 6
COUNTRIES = ("DE", "FR")
ACTIVITY = ViewPlan(
    name="activity_v1",
    entity="card",
    join_keys=("card_id",),
    source="transactions",
    columns={"amount_minor": "int64", "terminal_id": "string"},
    windows=tuple(
        WindowFeature(
            name=f"{column}_{function}_{days}d",
            function=function,
            column=column,
            window_ms=days * DAY_MS,
            grid_ms=DAY_MS // 24,
        )
        for days in (1, 7)
        for column, function in (
            ("amount_minor", "sum"),
            ("amount_minor", "max"),
            ("terminal_id", "count_distinct"),
        )
    ),
)
RISK = ViewPlan(
    name="risk_v1",
    entity="terminal",
    join_keys=("terminal_id",),
    source="fraud_labels",
    columns={"is_fraud": "int64"},
    windows=(
        WindowFeature(
            name="is_fraud_mean_30d",
            function="mean",
            column="is_fraud",
            window_ms=30 * DAY_MS,
            grid_ms=DAY_MS,
        ),
    ),
)
PROFILE = ViewPlan(
    name="profile_v1",
    entity="card",
    join_keys=("card_id",),
    source="card_profiles",
    columns={"limit_minor": "int64", "country": "string"},
    attributes=(
        AttributeFeature(name="limit_minor", column="limit_minor"),
        AttributeFeature(name="country", column="country", categories=COUNTRIES),
    ),
    ttl_ms=400 * DAY_MS,
)
PLAN = Plan(
    service="bench", views=(ACTIVITY, RISK, PROFILE), transforms=(), request_fields=(), vector=()
)


def rows_of(log: Log, key: str) -> list[Row]:
    return [
        Row(
            f"e{place}",
            entity_key([f"{key[0]}{log.keys[key][place]}"]),
            int(event_ms),
            int(event_ms),
            place,
            {name: column[place] for name, column in log.columns.items()},
        )
        for place, event_ms in enumerate(log.event_ms)
    ]


def test_base_and_delta_together_give_what_the_oracle_says():
    world = drawn_world(CARDS, AT_MS, countries=COUNTRIES)
    values = {k: v for view in PLAN.views for k, v in values_of(view, world).items()}
    assert {key[:4] for key in values} == {b"base", b"delt"}
    hashes = ready_features(PLAN, world, values)
    assert len(hashes) == world.cards + world.terminals
    for view in PLAN.views:
        (key,) = view.join_keys
        rows = rows_of(world.logs[view.source], key)
        count = world.cards if key == "card_id" else world.terminals
        for entity in range(count):
            name = f"{key[0]}{entity}"
            answers = view_values(view, rows, entity_key([name]), AT_MS, KnownAt(AT_MS))
            held = hashes[f"twin/{view.entity}/{name}"]
            found = {feature: held.get(f"{view.name}:{feature}") for feature in answers}
            assert {k: None if v is None else float(v) for k, v in found.items()} == {
                feature: None if answer is None else pytest.approx(float(answer))
                for feature, answer in answers.items()
            }


def test_bodies_ask_for_entities_that_are_there(tmp_path):
    world = drawn_world(CARDS, AT_MS, countries=COUNTRIES)
    write_bodies(tmp_path, world, 42)
    points = [json.loads(line) for line in (tmp_path / "points.ndjson").read_text().splitlines()]
    cards = {point["entities"]["card_id"] for point in points}
    assert cards == {f"c{number}" for number in range(CARDS)}
    batch = json.loads((tmp_path / "batches.ndjson").read_text().splitlines()[0])["points"]
    assert len(batch) == CANDIDATES
    assert len({point["entities"]["card_id"] for point in batch}) == 1
    assert len({point["entities"]["terminal_id"] for point in batch}) > 1
    vector = json.loads((tmp_path / "vectors.ndjson").read_text().splitlines()[0])["vector"]
    assert np.isfinite(vector).all()
    assert len(vector) == 42


def rated(rate: float) -> Measurement:
    return Measurement("x", 1.0, 1.0, {"rate": rate})


def test_the_middle_run_counts_and_a_failure_is_not_hidden_by_the_others():
    dead = failed("x", DependencyError("gone", found="nothing", remedy="look"))
    assert middle([rated(3.0), rated(1.0), rated(2.0)]).result["rate"] == 2.0
    assert middle([rated(3.0), dead, rated(1.0)]) is dead
    assert number(dead, "rate") is number(rated(1.0), "p99_ms") is None
    assert share(6.0, 2.0) == 3.0
    assert share(None, 2.0) is share(1.0, None) is share(1.0, 0.0) is None


def target_at(port: int, folder) -> Target:
    bodies = folder / "bodies.ndjson"
    bodies.write_text("{}\n")
    return Target("toy", Server(os.getpid(), port, 0.0), "/", bodies)


def test_a_load_on_nothing_is_a_row_that_says_so(tmp_path):
    measurement = open_looped(target_at(free_port(), tmp_path), rate=10, seconds=0.1)
    assert "cannot connect: Connection refused" in measurement.failure
    assert measurement.name == "toy, open loop at 10/s"
    with pytest.raises(DependencyError, match="toy gives no score"):
        largest_difference(*[target_at(free_port(), tmp_path)] * 2, at="now", points=1)


def test_a_load_keeps_the_generators_result_and_the_servers_memory(tmp_path):
    with running("toy", command_of(SERVER), Probe("/"), tmp_path) as server:
        target = replace(target_at(0, tmp_path), server=server)
        measurement = open_looped(target, rate=50, seconds=0.2)
    assert measurement.failure == ""
    assert measurement.result["answered"] == 10
    assert number(measurement, "p99_ms") == measurement.result["p99_ms"] > 0
    assert measurement.peak_rss_mb > 5


@pytest.mark.parametrize("limit", [50_000, None])
@pytest.mark.parametrize("habit", [250.5, None])
@pytest.mark.parametrize("hour", [0, 5, 6, 23])
@pytest.mark.parametrize("day", range(1, 8))
def test_the_twin_computes_what_the_use_case_declares(day, hour, habit, limit):
    at = datetime(2026, 6, day, hour, 59, 59, tzinfo=UTC)
    known = {"amount_minor_mean_30d": habit, "limit_minor": limit, "since_day": 18_000}
    inputs = {k: np.array([np.nan if v is None else float(v)]) for k, v in known.items()}
    inputs |= {"amount_minor": np.array([700.0]), "at_ms": np.array([at.timestamp() * 1_000])}
    views = {"amount_minor_mean_30d": "card_activity_v1"}
    held = {
        f"{views.get(name, 'card_profile_v1')}:{name}".encode(): float(value)
        for name, value in known.items()
        if value is not None
    }
    declared = {f"payment_v1:{k}": v[0] for k, v in transforms.payment(inputs).items()}
    declared |= {f"standing_v1:{k}": v[0] for k, v in transforms.standing(inputs).items()}
    found = {name.decode(): value for name, value in request_time(at, 700, held).items()}
    assert found == pytest.approx(declared, nan_ok=True, rel=0, abs=0)


SERVER = """
import http.server, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
time.sleep(0.3)
http.server.ThreadingHTTPServer.request_queue_size = 256
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def command_of(code: str):
    return lambda port: [sys.executable, "-c", code, str(port)]


def test_a_server_is_ready_when_it_answers_and_ends_with_its_block(tmp_path):
    with running("toy", command_of(SERVER), Probe("/"), tmp_path) as server:
        assert 0.3 <= server.ready_s < 30
        assert server.worker_mb > 5
        os.kill(server.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


def test_a_server_that_ends_early_is_told_by_its_last_line(tmp_path):
    dies = command_of("raise SystemExit('no such model')")
    with (
        pytest.raises(DependencyError, match="no such model"),
        running("toy", dies, Probe("/"), tmp_path),
    ):
        pass


def test_a_server_that_will_not_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.servers.ENDS_WITHIN_S", 0.2)
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + SERVER
    started = time.monotonic()
    with running("toy", command_of(stubborn), Probe("/"), tmp_path) as server:
        pass
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, signal.SIGTERM)


def test_the_largest_process_is_no_larger_than_the_tree():
    own = largest_rss_bytes(os.getpid())
    assert 2**20 < own <= tree_rss_bytes(os.getpid())
    assert largest_rss_bytes(2**22 + 1) == 0


def test_a_missing_tool_is_said_and_breaks_nothing(tmp_path, monkeypatch):
    from benchmarks import online_suite

    monkeypatch.setenv("PATH", str(tmp_path))
    section = online_suite.run(tmp_path, is_small=True)
    assert isinstance(section, Section)
    assert [m.failure for m in section.measurements] == [
        "wrk is not installed (apt-get install wrk)"
    ]
    assert "wrk is not installed" in section.table()
