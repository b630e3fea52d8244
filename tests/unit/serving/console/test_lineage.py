"""The lineage in the console: from a release to files, from a column to releases, step by step."""

import asyncio

import pytest
from access_keys import made_key
from bundles import REQUEST
from console_home import Console
from engines import Bench
from learnt_home import learnt

from core.clock import SystemClock
from core.lineage import Thing
from serving.console.lineage import address
from serving.records.logs import RecordLogs
from serving.settings import RecordSettings
from stores.layout import Layout
from stores.records.frames import framed


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    return learnt(Layout(tmp_path_factory.mktemp("home")).create())


def of(console, kind, name, key=None):
    return console.get(address(Thing(kind, name)), key)


def test_releases_lead_step_by_step_to_the_file_that_one_learnt_from(layout):
    console = Console(layout)
    start = console.get("/lineage")
    assert address(Thing("release", "toy/1")) in start.links
    release = of(console, "release", "toy/1")
    file = address(Thing("file", "log/payments/0000000001.ndjson"))
    assert {file, address(Thing("run", "r1"))} <= set(release.links)
    assert "/releases/toy/1" in release.links
    assert address(Thing("release", "toy/1")) in console.get(file).links


def test_a_version_that_is_gone_is_shown_without_its_files(layout):
    release = of(Console(layout), "release", "toy/2")
    assert "events/payments@7" in release.words
    assert "ndjson" not in release.words
    assert "toy champion" in release.words


def test_a_column_leads_to_the_releases_that_would_break(layout):
    console = Console(layout)
    found = console.get("/lineage?q=amount")
    column = next(link for link in found.links if "kind=column" in link)
    broken = console.get(column)
    assert {address(Thing("release", f"toy/{n}")) for n in (1, 2)} <= set(broken.links)
    assert broken.tags.count("rect") >= 2


def test_a_prediction_leads_to_its_release(tmp_path):
    layout = learnt(Layout(tmp_path / "home").create())
    bench = Bench(layout)
    asyncio.run(bench.engine.predict("toy", REQUEST))
    logs = RecordLogs(layout, SystemClock(), RecordSettings())
    (record_id,) = logs.append_frames("toy", framed(bench.records.payloads[:1]))
    logs.close()
    console = Console(layout)
    assert address(Thing("prediction", record_id)) in console.get(f"/predictions/{record_id}").links
    page = of(console, "prediction", record_id)
    assert "kind=release" in " ".join(page.links)
    key = made_key(layout, ["toy:rollouts"])
    assert of(Console(layout), "prediction", record_id, key).status == 403


def test_a_key_sees_what_its_use_cases_were_made_of_and_nothing_else(tmp_path):
    layout = learnt(Layout(tmp_path / "home").create())
    key = made_key(layout, ["churn:rollouts"])
    console = Console(layout)
    assert "toy" not in console.get("/lineage?q=a", key).text.replace("history", "")
    assert of(console, "release", "toy/1", key).status == 404


@pytest.mark.parametrize(("kind", "name"), [("wrong", "x"), ("column", "<b>no.such"), ("run", "")])
def test_what_is_not_there_is_said(layout, kind, name):
    reply = Console(layout).get(f"/lineage?kind={kind}&name={name}")
    assert reply.status == 404
    assert "<b>no" not in reply.text


def test_a_home_without_releases_says_what_comes(tmp_path):
    reply = Console(Layout(tmp_path / "home").create()).get("/lineage")
    assert reply.status == 200
    assert "throughline demo" in reply.words
