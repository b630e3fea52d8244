"""Ending by signal: whenever it comes, and however often."""

from __future__ import annotations

import subprocess
import sys

import pytest

SIGNALLED_INSIDE_THE_WAIT = """
import signal, sys
from serving.process import stop_on_signals

def at_every_call(_frame, _event, _argument):
    signal.raise_signal(signal.{name})

stop = stop_on_signals()
assert not stop(0)
sys.setprofile(at_every_call)
is_told = stop(20)
sys.setprofile(None)
assert is_told and stop(0) and stop(20)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_inside_the_wait_for_it_does_not_hang(name):
    code = SIGNALLED_INSIDE_THE_WAIT.format(name=name)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
