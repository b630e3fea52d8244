"""Which ports `up` takes, and what it does when it cannot have the one it was told."""

import signal
import socket
from collections.abc import Iterator

import pytest

from core.errors import ConfigurationError
from orchestration import cli
from orchestration.ports import Ports, ports_of
from orchestration.processes import free_port

UP = next(command for command in cli.COMMANDS if command.name == "up")
OPTIONS = ("--port", "--console-port", "--ui-port", "--mlflow-port")


def ports(*words: object) -> Ports:
    return ports_of(cli.parser_of(UP).parse_args([str(word) for word in words]))


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("option", OPTIONS)
def test_a_named_port_that_is_taken_is_refused(option, taken):
    with pytest.raises(ConfigurationError) as refused:
        ports(option, taken)
    assert refused.value.code == "port_taken"
    said = str(refused.value)
    assert f"the port {taken} cannot be had, and nothing was started" in said
    assert "already in use" in said
    assert option in said


@pytest.fixture
def own_signals() -> Iterator[None]:
    """What `up` does with signals is undone."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_signals")
def test_up_on_a_named_port_that_is_taken_starts_nothing(taken, tmp_path, capsys):
    home = tmp_path / "home"
    words = ["up", "--online-only", "--home", str(home), "--port", str(taken)]
    assert cli.main(words) == 2
    assert f"error: the port {taken} cannot be had" in capsys.readouterr().err
    assert not (home / "logs").exists()
    assert not (home / "state" / "addresses.json").exists()


@pytest.mark.parametrize("option", OPTIONS)
def test_a_named_port_that_is_free_is_taken(option):
    number = free_port()
    found = ports(option, number)
    taken = (found.service, found.console, found.ui, found.mlflow)
    assert dict(zip(OPTIONS, taken, strict=True))[option] == number


def test_unasked_a_port_that_is_taken_is_passed_over():
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed a minute ago: free
        try:
            server.bind(("127.0.0.1", 8080))
            server.listen()
        except OSError:
            pass  # taken by somebody else: as good
        assert ports().service != 8080


def test_zero_is_any_that_is_free():
    found = ports(*(word for option in OPTIONS for word in (option, 0)))
    assert not {0, 8080, 8081, 3000, 5000} & set(found)


def test_no_two_processes_get_the_same_port():
    found = ports("--port", free_port())
    assert len(set(found)) == len(found)
    with pytest.raises(ConfigurationError, match="given to two processes"):
        ports("--port", found.service, "--ui-port", found.service)


def test_a_named_port_is_no_other_s_default(monkeypatch):
    """`up --port 3000` gave 3000 to Dagster's pages too, for nobody listened there yet."""
    number = free_port()
    monkeypatch.setattr("orchestration.ports.UI_PORT", number)
    found = ports("--port", number)
    assert found.service == number != found.ui


def test_the_port_of_pages_that_are_not_started_is_not_looked_at(taken):
    ports("--online-only", "--ui-port", taken)
