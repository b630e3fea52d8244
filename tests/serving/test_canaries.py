"""The demo's end on a toy: one canary promoted, one taken back, the trained champion serves."""

from __future__ import annotations

import io
from urllib.parse import urlsplit

import pytest
from bundles import serve, shelve
from online_processes import controller, service
from rollouts import request_of

from orchestration.demo.canaries import run_canaries
from orchestration.settings import Settings
from orchestration.shell import Shell
from stores.keys.signing import KeyRing
from stores.layout import Layout
from stores.shelf.rollouts import RolloutBoard
from stores.shelf.shelf import Shelf

pytestmark = pytest.mark.slow


def test_one_canary_is_promoted_and_one_is_taken_back(tmp_path):
    layout = Layout(tmp_path).create()
    trained = shelve(layout, use_case="fraud")
    serve(layout, trained, counter=1, use_case="fraud")
    requests = [request_of(card, 500 + 7 * card) for card in range(2_000)]
    with controller(layout), service(layout) as started:
        port = str(urlsplit(started.url).port)
        out = io.StringIO()
        shell = Shell(
            Settings.read({}, home=str(tmp_path)), {"THROUGHLINE_HTTP__PORT": port}, out=out
        )
        run_canaries(shell, requests)
        run_canaries(shell, requests)
    events = [(entry.event, entry.release) for entry in RolloutBoard(layout.shelf).audit("fraud")]
    good, broken = trained + 1, trained + 2
    assert events == [
        ("started", good),
        ("advanced", good),
        ("advanced", good),
        ("promoted", good),
        ("started", broken),
        ("rolled_back", broken),
    ]
    state = Shelf(layout.shelf).board.read(KeyRing.from_directory(layout.keys)).state("fraud")
    assert (state.champion, state.challenger) == (trained, None)
    said = out.getvalue()
    assert "advanced to 50%" in said
    assert "(there)  two canaries" in said
