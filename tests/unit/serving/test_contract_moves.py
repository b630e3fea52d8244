"""Contracts at the controller: what may follow what is served."""

from __future__ import annotations

import pytest
from bundles import CONTRACT, shelve
from desks import Desk
from rollouts import fast_rollout

from stores.layout import Layout

LESS = (CONTRACT.inputs[0].model_copy(update={"maximum": 500}),)


def speaking(version, **changes):
    """The toy contract under another version."""
    return CONTRACT.model_copy(update={"version": version, **changes})


@pytest.fixture
def desk(tmp_path):
    desk = Desk(Layout(tmp_path).create())
    assert desk.ask("promote", shelve(desk.layout)).is_accepted
    return desk


@pytest.mark.parametrize(
    ("contract", "code"),
    [
        (speaking("1.0", inputs=LESS), "contract_breaks"),
        (speaking("1.9", inputs=LESS), "contract_breaks"),
        (speaking("2.0", inputs=LESS), "done"),
        (speaking("1.1"), "done"),
    ],
)
def test_a_release_that_breaks_its_contract_is_not_promoted(desk, contract, code):
    release = shelve(desk.layout, contract=contract)
    answer = desk.ask("promote", release)
    assert answer.code == code
    assert desk.state().champion == (release if code == "done" else 1)


def test_an_older_contract_does_not_come_back(desk):
    newer = shelve(desk.layout, contract=speaking("1.1"))
    desk.ask("promote", newer)
    answer = desk.ask("promote", shelve(desk.layout))
    assert answer.code == "contract_goes_back"
    assert "declare 1.1" in answer.because
    assert desk.ask("rollback").is_accepted
    assert desk.state().champion == 1


def test_a_new_major_is_not_rolled_out_by_shares(desk):
    release = shelve(desk.layout, contract=speaking("2.0", inputs=LESS), rollout=fast_rollout())
    assert desk.ask("start", release).code == "contract_new_major"
    assert desk.state().challenger is None


def test_a_champion_that_cannot_be_read_holds_nobody_up(desk):
    (desk.shelf.bundle("toy", 1) / "manifest.json").write_text("{}")
    release = shelve(desk.layout, contract=speaking("1.0", inputs=LESS))
    assert desk.ask("promote", release).is_accepted
