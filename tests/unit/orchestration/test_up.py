from __future__ import annotations

import pytest

from orchestration.addresses import read_addresses
from orchestration.commands import up
from orchestration.ports import Ports
from orchestration.processes import Processes
from orchestration.settings import Settings
from orchestration.shell import Shell


@pytest.fixture
def shell(tmp_path):
    return Shell(Settings.read({}, home=str(tmp_path / "home")), {})


def test_an_address_is_known_as_soon_as_it_answers(shell, monkeypatch):
    layout = shell.settings.layout
    known = []

    def start_all(self, children, *, within_s):
        for child in children:
            known.append((child.name, read_addresses(layout).service))
            yield child

    monkeypatch.setattr(Processes, "start_all", start_all)
    ports = Ports(service=1, code=2, ui=3, mlflow=4)
    with up.started(shell, ports, has_pages=True):
        assert read_addresses(layout).mlflow == ports.address(4)
    order = [name for name, _ in known]
    behind = dict(known[order.index("service") + 1 :])
    assert "ui" in behind
    assert set(behind.values()) == {ports.address(1)}
    assert read_addresses(layout).service == ""
