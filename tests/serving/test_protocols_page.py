"""What docs/protocols.md shows is what the service does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bundles import serve, shelve
from online_processes import service

from orchestration.processes import free_port
from serving.settings import GrpcSettings, HttpSettings
from serving.transport.connections import MOST_FRAMING_BYTES, MOST_PIPELINED
from serving.transport.problem_codes import PROBLEMS
from stores.layout import Layout

PAGE = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text()


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    grpc_port = free_port()
    with service(layout, GRPC__PORT=grpc_port) as process:
        yield {"http": process.url.removeprefix("http://"), "grpc": f"127.0.0.1:{grpc_port}"}


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_the_program_shown_works_over_both(addresses, capsys, kind):
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    program = program.replace("fraud", "toy").replace("localhost:8080", addresses[kind])
    if kind == "grpc":
        program = program.replace("tritonclient.http", "tritonclient.grpc")
        program = program.replace('("toy")["inputs"][0]["shape"][1]', '("toy").inputs[0].shape[1]')
    exec(program, {})
    assert capsys.readouterr().out.count("[") == 3  # two rows of one score


def test_the_defaults_shown_are_those_of_the_settings():
    shown = {
        setting: default for setting, default in re.findall(r"\| `HTTP__(\w+)` \| ([^|]+) \|", PAGE)
    }
    http = HttpSettings()
    units = {"ms": 1_000, "s": 1, "bytes": 1 << 10}
    for setting, default in shown.items():
        number, _, unit = default.partition(" ")
        value = getattr(http, setting.lower())
        wanted = int(number.replace(",", "")) * {"MiB": 1 << 10}.get(unit, 1)
        assert value == wanted * units.get(setting.lower().rpartition("_")[2], 1), setting
    assert len(shown) == 7
    assert f"({GrpcSettings().max_calls})" in PAGE
    assert f"| {MOST_PIPELINED} |" in PAGE
    assert MOST_FRAMING_BYTES == 1 << 20


def test_the_codes_shown_have_the_status_shown():
    shown = re.findall(r"(\d{3}) `(\w+)`", PAGE)
    assert len(shown) >= 7
    for status, code in shown:
        assert PROBLEMS[code].status == int(status)
