"""Asking a controller that nobody has started."""

import dataclasses

import pytest
from bundles import shelve

from core.errors import DependencyError
from orchestration.channels import answered, channels_of
from orchestration.settings import Settings
from orchestration.shell import Shell
from stores.layout import Layout
from stores.shelf.channels import ChannelBoard

pytestmark = pytest.mark.slow


class LateShell(Shell):
    """One on a machine so busy that every wait takes an hour."""

    def elapsed(self):
        return lambda: 3_600.0


@pytest.fixture
def shell(tmp_path):
    layout = Layout(tmp_path / "home").create()
    shelve(layout)
    return LateShell(Settings.model_validate({"home": layout.root}))


def asked(shell):
    board = ChannelBoard(shell.settings.layout.shelf)
    now_ms = shell.clock.now_ms()
    return board.ask("promote", "toy", release=1, why="it is the first", who="Ada", at_ms=now_ms)


def test_an_answer_counts_however_long_the_controller_took_to_start(shell):
    assert answered(shell, asked(shell)).is_accepted
    assert channels_of(shell).use_cases["toy"].champion == 1


def test_why_a_controller_could_not_start_is_told(shell):
    broken = dataclasses.replace(shell, environment={"THROUGHLINE_MODELS__PATIENCE_MS": "soon"})
    with pytest.raises(DependencyError, match=r"gave no answer.*(?i:patience)"):
        answered(broken, asked(broken))
