"""Ending by signal, whenever it comes and however often; what surroundings may not change."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry, values

from core.errors import ConfigurationError
from serving.process import SHARED_COUNTS, bound_socket, count_alone
from serving.telemetry.metrics import Telemetry

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


@pytest.mark.parametrize("name", SHARED_COUNTS)
def test_counts_stay_in_the_process_whatever_other_programs_were_told(name, tmp_path, monkeypatch):
    monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue())
    count_alone(os.environ)
    telemetry = Telemetry(CollectorRegistry())
    telemetry.models({("toy", 1): 10})
    telemetry.models({("toy", 2): 20})  # a warning here is an error
    text = telemetry.exposition().decode()
    assert 'throughline_model_memory_bytes{release="2",use_case="toy"} 20.0' in text
    assert 'release="1"' not in text
    assert list(tmp_path.iterdir()) == []


def test_an_address_is_held_before_anybody_is_told_to_go_there():
    with bound_socket("127.0.0.1", 0, setting="A__PORT") as held:
        port = held.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):  # until there is somebody who answers
            socket.create_connection(("127.0.0.1", port))
        held.listen()
        with pytest.raises(ConfigurationError, match="cannot be listened on") as refused:
            bound_socket("127.0.0.1", port, setting="A__PORT")
    assert refused.value.code == "port_taken"
    assert refused.value.found == "address already in use"
    assert "A__PORT" in refused.value.remedy
