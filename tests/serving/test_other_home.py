"""What a killed `up` leaves behind: an address whose port another home's service may take."""

from __future__ import annotations

import http.server
import re
import threading
from pathlib import Path

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from online_processes import service

from orchestration import cli
from orchestration.addresses import Addresses, write_addresses
from stores.home_id import home_id, known_home_id
from stores.layout import Layout

EVENT = ("card_id=c1", "terminal_id=t1", "amount_minor=1")
COMMANDS = {
    "predict": ("predict", "fraud", *EVENT),
    "push": ("push", "transactions", *EVENT),
    "why": ("why", "toy-00000000-0-0"),
    "replay": ("replay", "toy-00000000-0-0"),
}


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A home whose service runs, and where."""
    layout = Layout(tmp_path_factory.mktemp("other")).create()
    serve(layout, shelve(layout), counter=1)
    with service(layout) as started:
        yield layout, started.url


@pytest.fixture
def stale(tmp_path, other):
    """A home whose service was killed where the other's listens now."""
    layout = Layout(tmp_path / "home").create()
    home_id(layout)
    write_addresses(layout, Addresses(service=other[1]))
    return layout


def told(capsys, layout: Layout, *words: str) -> tuple[int, str]:
    code = cli.main([*words, "--home", str(layout.root)])
    said = capsys.readouterr()
    return code, said.err + said.out


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
def test_the_service_that_took_the_port_of_a_killed_one_is_not_asked(stale, other, capsys, words):
    code, said = told(capsys, stale, *words)
    assert code == 3
    assert said.startswith("error: the service of this home is not running; found another home's")
    assert other[1] in said
    assert "throughline up" in said
    assert not other[0].log_dir("transactions").exists()


def test_status_does_not_call_another_home_s_service_ours(stale, other, capsys):
    _, said = told(capsys, stale, "status")
    (line,) = [line for line in said.splitlines() if line.strip().startswith("service")]
    assert "not running; another home's" in line
    write_addresses(other[0], Addresses(service=other[1]))
    _, said = told(capsys, other[0], "status")
    (line,) = [line for line in said.splitlines() if line.strip().startswith("service")]
    assert line.split()[:2] == ["service", "running"]


def test_a_home_that_never_had_an_id_takes_no_service_for_its_own(tmp_path, other, capsys):
    layout = Layout(tmp_path / "home").create()
    write_addresses(layout, Addresses(service=other[1]))
    assert told(capsys, layout, *COMMANDS["why"])[0] == 3


def test_the_own_service_is_asked(other, capsys):
    layout, url = other
    write_addresses(layout, Addresses(service=url))
    record_id = httpx.post(f"{url}/v1/toy/predictions", json=REQUEST).json()["prediction_id"]
    code, said = told(capsys, layout, "replay", record_id)
    assert (code, said.partition(":")[0]) == (0, "equal")
    code, said = told(capsys, layout, "why", record_id)
    assert code == 0
    (page,) = re.findall(r"as a page: (\S+)", said)
    assert "class=waterfall" in httpx.get(page, headers={"Accept": "text/html"}, timeout=60).text


def test_an_address_that_the_settings_give_is_asked_before_any_other(
    stale, other, capsys, monkeypatch
):
    record_id = httpx.post(f"{other[1]}/v1/toy/predictions", json=REQUEST).json()["prediction_id"]
    monkeypatch.setenv("THROUGHLINE_SERVICE_URL", f"{other[1]}/")
    code, said = told(capsys, stale, "why", record_id)
    assert code == 0
    assert f"as a page: {other[1]}/v1/predictions/{record_id}" in said


def test_another_program_on_the_port_is_not_asked(tmp_path, capsys):
    layout = Layout(tmp_path / "home").create()
    home_id(layout)
    handler = http.server.SimpleHTTPRequestHandler
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        write_addresses(layout, Addresses(service=f"http://127.0.0.1:{server.server_port}"))
        code, said = told(capsys, layout, *COMMANDS["why"])
        server.shutdown()
    assert code == 3
    assert "another program" in said


def test_the_id_of_a_home_says_nothing_of_it_and_stays(other):
    layout, url = other
    said = httpx.get(f"{url}/livez").json()["home"]
    assert said == known_home_id(layout) == home_id(layout)
    assert len(said) == 32
    assert not any(part in said for part in Path(layout.root).parts[1:])
