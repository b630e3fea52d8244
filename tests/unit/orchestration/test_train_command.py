"""What ``throughline train`` does when a release has been made."""

import io
import threading

import pytest

from core.clock import SystemClock
from core.errors import InvalidInputError
from orchestration.commands.train import served_if_asked
from orchestration.settings import Settings
from orchestration.shell import Shell
from serving.controller import run
from serving.settings import Settings as ServiceSettings
from stores.shelf.shelf import Shelf


class Told(io.StringIO):
    """Lets a controller work as soon as somebody says that he waits for one."""

    def __init__(self, home):
        super().__init__()
        self.is_over = threading.Event()
        settings = ServiceSettings.model_validate(
            {"home": home, "controller": {"poll_ms": 20, "look_ms": 50}}
        )
        arguments = (settings, SystemClock(), self.is_over.wait, list[str]().append)
        self.deciding = threading.Thread(target=run, args=arguments)

    def write(self, text):
        if "..." in text:
            self.deciding.start()
        return super().write(text)


@pytest.fixture
def shell(tmp_path):
    settings = Settings(home=tmp_path / "home")
    settings.layout.create()
    told = Told(settings.home)
    yield Shell(settings, out=told)
    told.is_over.set()
    if told.deciding.is_alive():
        told.deciding.join(timeout=60)


def said(shell):
    return shell.out.getvalue()


def test_what_a_release_asked_for_is_answered_before_train_ends(shell):
    """It waited for a controller that nobody had started, and `score` found no champion."""
    board = Shelf(shell.settings.layout.shelf).board
    board.ask("promote", "toy", release=9, why="w", who="asset", at_ms=SystemClock().now_ms())
    with pytest.raises(InvalidInputError, match=r"the controller refused.*release 9 of toy"):
        served_if_asked(shell, "toy", 9)
    assert board.pending() == ()
    assert "serve release 9 of toy" in said(shell)


def test_where_nothing_waits_nothing_is_asked(shell):
    served_if_asked(shell, "toy", 9)
    assert said(shell) == ""
