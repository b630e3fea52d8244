"""Alert rules and the dashboard: valid, tried on numbers, and of metrics that are exported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prometheus import promtool
from prometheus_client import CollectorRegistry

from infra.dashboard import COLUMNS, dashboard, queries
from serving.telemetry.home_metrics import home_families
from serving.telemetry.metrics import Telemetry
from serving.telemetry.process_metrics import ControllerMetrics, FolderMetrics

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "infra" / "monitoring"
FILES = ("alerts.yaml", "objectives.yaml")
GROUPS = {name: yaml.safe_load((MONITORING / name).read_text())["groups"] for name in FILES}
RULES = [(name, rule) for name in FILES for group in GROUPS[name] for rule in group["rules"]]
ALERTS = [rule for _, rule in RULES if "alert" in rule]
RECORDED = {rule["record"].split(":")[1] for _, rule in RULES if "record" in rule}
NAMES = re.compile(r"\b(?:throughline|process)_[a-z0-9_]+")


@pytest.fixture
def exported(monkeypatch):
    """Names of every series that service, folder and controller can export."""
    # Importing Feast in this process sets them for every user of prometheus_client.
    monkeypatch.delenv("prometheus_multiproc_dir", raising=False)
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    service = CollectorRegistry()
    Telemetry(service)
    registries = service, FolderMetrics().registry, ControllerMetrics().registry
    families = [family for registry in registries for family in registry.collect()]
    families += home_families(0, {}, {}, is_shelf_bad=False)
    names: set[str] = set()
    for family in families:
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
        names |= {family.name + ending for ending in endings.get(family.type, ("",))}
    return names


def used(query):
    return set(NAMES.findall(query))


@pytest.mark.prometheus
@pytest.mark.parametrize("name", FILES)
def test_the_rules_are_valid(name):
    done = promtool("check", "rules", MONITORING / name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{sum(each == name for each, _ in RULES)} rules found" in done.stdout


@pytest.mark.slow
@pytest.mark.prometheus
@pytest.mark.parametrize("name", FILES)
def test_every_alert_fires_when_it_should_and_none_on_a_good_day(name):
    done = promtool("test", "rules", MONITORING / name.replace(".yaml", "_test.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.prometheus
@pytest.mark.parametrize(("name", "alert"), [(n, r["alert"]) for n, r in RULES if "alert" in r])
def test_the_cases_notice_when_an_alert_is_lost(tmp_path, name, alert):
    left = [rule for each, rule in RULES if each == name and rule.get("alert") != alert]
    (tmp_path / name).write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": left}]}))
    cases = (MONITORING / name.replace(".yaml", "_test.yaml")).read_text()
    (tmp_path / "cases.yaml").write_text(cases)
    assert promtool("test", "rules", tmp_path / "cases.yaml").returncode == 1


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_exported_and_says_what_it_found(rule, exported):
    assert used(rule["expr"]) <= exported | RECORDED
    assert "up" in rule["expr"] or used(rule["expr"])
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize("rule", [rule for _, rule in RULES if "record" in rule],
                         ids=lambda rule: rule["record"])  # fmt: skip
def test_what_is_recorded_is_of_what_is_exported(rule, exported):
    assert used(rule["expr"])
    assert used(rule["expr"]) <= exported


@pytest.mark.parametrize("query", queries())
def test_a_panel_asks_for_what_is_exported(query, exported):
    assert used(query)
    assert used(query) <= exported


@pytest.mark.prometheus
def test_every_query_of_the_dashboard_is_valid(tmp_path):
    rules = [
        {"record": f"panel:{n}", "expr": query.replace("$__rate_interval", "1m")}
        for n, query in enumerate(queries())
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_one_that_grafana_imports():
    done = subprocess.run(
        [sys.executable, "-m", "infra.dashboard"], capture_output=True, cwd=ROOT, check=True
    )
    read = json.loads(done.stdout)
    assert read == dashboard()
    ids = [panel["id"] for panel in read["panels"]]
    assert len(ids) == len(set(ids))
    cells: set[tuple[int, int]] = set()
    for panel in read["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"])
               for y in range(at["y"], at["y"] + at["h"])}  # fmt: skip
        assert cells.isdisjoint(own), f"{panel['title']} lies on another"
        cells |= own
    variables = {variable["name"] for variable in read["templating"]["list"]}
    asked = set(re.findall(r"\$\{?(\w+)", json.dumps(read))) - {"__rate_interval"}
    assert asked == variables


def test_the_operator_s_page_says_what_to_do_for_every_alert():
    page = (ROOT / "docs" / "operations.md").read_text()
    told = re.findall(r"^\| `(Throughline\w+)` \| \w.+ \|$", page, re.MULTILINE)
    assert told == [rule["alert"] for rule in ALERTS]


def test_an_alert_asks_for_codes_that_there_are():
    source = "".join(path.read_text() for path in (ROOT / "serving").rglob("*.py"))
    known = set(re.findall(r'\bcode ?= ?"(\w+)"', source))
    asked = [re.findall(r'code=~"([^"]+)"', rule["expr"]) for rule in ALERTS]
    named = {code for found in asked for codes in found for code in codes.split("|")}
    assert len(named) > 5
    assert named <= known
