"""What a person at a terminal sees while nothing is said."""

import io
import threading

import pytest

from orchestration import shell as shells
from orchestration.settings import Settings
from orchestration.shell import ERASE_LINE, Shell


class Terminal(io.StringIO):
    """Keeps what is shown, and lets one wait for the first of it."""

    def __init__(self):
        super().__init__()
        self.is_shown = threading.Event()

    def isatty(self):
        return True

    def flush(self):
        self.is_shown.set()


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
def shell(tmp_path, terminal, monkeypatch):
    monkeypatch.setattr(shells, "QUIET_S", 0.0)
    return Shell(Settings(home=tmp_path), out=terminal)


def test_seconds_are_counted_until_something_is_said(shell, terminal):
    with shell.waiting():
        assert terminal.is_shown.wait(60)
        shell.say("done")
        shell.say("all")
    assert terminal.getvalue().startswith(f"{ERASE_LINE}      0 s ")
    assert terminal.getvalue().endswith(f"{ERASE_LINE}done\nall\n")


def test_an_error_finds_the_line_empty(shell, terminal):
    def fail():
        with shell.waiting():
            assert terminal.is_shown.wait(60)
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fail()
    assert terminal.getvalue().endswith(ERASE_LINE)


def test_a_step_takes_the_place_of_what_was_counted(shell, terminal):
    with shell.waiting():
        assert terminal.is_shown.wait(60)
        with shell.step("work") as step:
            step.detail = "well"
    assert terminal.getvalue().endswith(" s  work: well\n")


def test_a_file_is_told_nothing_meanwhile(tmp_path):
    out = io.StringIO()
    with Shell(Settings(home=tmp_path), out=out).waiting():
        pass
    assert out.getvalue() == ""
