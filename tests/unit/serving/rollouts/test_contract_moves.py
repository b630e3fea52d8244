"""Contracts at the controller: what may follow what is served."""

from __future__ import annotations

import pytest
from bundles import CONTRACT, shelve
from desks import Desk
from grown_payments import GROWN
from rollouts import fast_rollout

from core.clock import DAY_MS
from core.served import is_about_channels, served_at
from stores.audit.log import AuditLog
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


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (GROWN, "done"),
        (GROWN.model_copy(update={"former": ()}), "contract_drops"),
        (GROWN.model_copy(update={"version": "1.1", "former": ()}), "contract_breaks"),
    ],
)
def test_a_release_that_leaves_senders_of_events_behind_is_not_promoted(desk, source, code):
    contract = speaking("1.0", sources=(source, *CONTRACT.sources[1:]))
    release = shelve(desk.layout, contract=contract)
    assert desk.ask("promote", release).code == code
    other = shelve(desk.layout, use_case="other", contract=contract)  # it reads the same events
    assert desk.ask("promote", other, use_case="other").code == code


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


def two_majors(desk, **changes):
    """A release of the second major is champion; its number."""
    release = shelve(desk.layout, contract=speaking("2.0", inputs=LESS, **changes))
    assert desk.ask("promote", release).is_accepted
    return release


def live(desk):
    """What the audit log says serves now."""
    records = AuditLog.of(desk.layout, is_signing=False).latest(10**6, is_about_channels)
    return served_at(records, "toy", desk.clock.now_ms())


def test_the_champion_before_a_new_major_answers_its_callers_until_the_declared_day(desk):
    two_majors(desk, keeps_previous_days=30)
    now_ms = desk.clock.now_ms()
    (kept,) = desk.state().older
    assert (kept.major, kept.release, kept.until_ms) == (1, 1, now_ms + 30 * DAY_MS)
    assert desk.state().releases == (2, 1)
    assert live(desk).older == {1: 1}
    desk.clock.advance(30 * DAY_MS - 1)
    assert desk.controller().look() == []
    desk.clock.advance(1)
    assert desk.controller().look() == ["toy: the time of contract 1 is over"]
    assert desk.controller().look() == []
    assert desk.state().older == (kept.model_copy(update={"release": None}),)
    assert desk.state().releases == (2,)
    assert live(desk).older == {}


def test_an_older_contract_gets_another_release_of_its_own_and_the_champion_stays(desk):
    two_majors(desk)
    mended = shelve(desk.layout, contract=speaking("1.1"))
    assert desk.ask("promote", mended).is_accepted
    assert desk.state().champion == 2
    assert [kept.release for kept in desk.state().older] == [3]
    assert live(desk).sentence().endswith("release 3 answered callers of contract 1")
    worse = shelve(desk.layout, contract=speaking("1.1", inputs=LESS))
    assert desk.ask("promote", worse).code == "contract_breaks"


def test_an_older_contract_does_not_come_back_after_its_day(desk):
    two_majors(desk, keeps_previous_days=0)
    desk.controller().look()
    assert desk.ask("promote", shelve(desk.layout)).code == "contract_goes_back"


def test_going_back_over_a_major_makes_its_contract_the_newest_again(desk):
    two_majors(desk)
    refused = desk.ask("rollback")
    assert refused.code == "callers_refused"
    assert "callers of contract 2" in refused.because
    assert desk.ask("rollback", may_refuse=True).is_accepted
    assert (desk.state().champion, desk.state().older) == (1, ())
    assert live(desk).older == {}


def test_a_changed_audit_log_lets_no_unknown_release_answer_an_older_contract(desk):
    two_majors(desk)
    mended = shelve(desk.layout, contract=speaking("1.1"))
    (desk.layout.audit / "head.json").unlink()
    assert desk.ask("promote", mended).code == "audit_changed"
    assert [kept.release for kept in desk.state().older] == [1]
