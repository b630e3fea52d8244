"""The demo of the closed loop: what it declares, how it goes on, who signs, who is forgotten."""

import io
import threading
from contextlib import contextmanager

import pytest
from bundles import serve, shelve
from desks import Desk
from rollouts import fast_rollout, worker_counts

from assets.declared import Declared
from core.clock import SystemClock
from core.errors import PlatformError
from core.monitoring.triage import Fault, triaged
from orchestration.demo import canaries
from orchestration.demo import ending as demo_ending
from orchestration.demo import loop as demo_loop
from orchestration.demo import release as demo_release
from orchestration.demo.steps import USE_CASE, WHO
from orchestration.retraining import WHO as SENSOR
from orchestration.runs import Runs
from orchestration.settings import Settings
from orchestration.shell import Shell
from orchestration.typed import typed
from stores.erasing.erasures import Erasures
from stores.keys.signing import KeyRing, ensure_signer
from stores.layout import Layout
from stores.monitoring.triages import Triages
from stores.shelf.rollouts import RolloutBoard
from stores.shelf.shelf import Shelf
from use_cases import discover
from use_cases.fraud import shift
from use_cases.fraud.simulator import simulate


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path).create()


@pytest.fixture
def shell(layout):
    return Shell(Settings(home=layout.root), out=io.StringIO())


@pytest.fixture
def desk(layout):
    made = Desk(layout)
    made.clock.instant_ms = SystemClock().now_ms()
    return made


@contextmanager
def at_work(desk):
    """The controller answers whoever asks meanwhile."""
    is_over = threading.Event()

    def work():
        while not is_over.wait(0.01):
            desk.controller().work()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        is_over.set()
        worker.join()


def said(shell):
    text = shell.out.getvalue()
    shell.out.truncate(0)
    shell.out.seek(0)
    return text


def test_the_demo_declares_shorter_minima_and_nothing_else():
    use_cases = discover()
    found = demo_loop.declared_for_the_loop(Declared(use_cases=use_cases, plans={})).use_cases
    assert found.keys() == use_cases.keys()
    before, after = use_cases[USE_CASE], found[USE_CASE]
    fields = type(before).model_fields
    changed = {name for name in fields if getattr(before, name) != getattr(after, name)}
    assert changed == {"watching", "model", "retraining", "rollout"}
    assert after.model == before.model.model_copy(update={"split": "stratified"})
    assert after.risk_tier == "high"
    assert after.rollout is not None
    assert after.rollout.stages[0].waits_for_person == ("high",)
    assert {name: found[name] for name in found if name != USE_CASE} == {
        name: use_cases[name] for name in use_cases if name != USE_CASE
    }


def test_it_goes_on_with_the_newest_release_that_the_sensor_had_made_and_the_rule_let_pass(
    layout, shell
):
    assert demo_loop.made_by_the_sensor(shell) is None
    shelve(layout, use_case=USE_CASE, built_by="eve")
    assert demo_loop.made_by_the_sensor(shell) is None
    passed = shelve(layout, use_case=USE_CASE, built_by=SENSOR)
    shelve(layout, use_case=USE_CASE, built_by=SENSOR, is_passed=False)
    as_canary(layout, shelve(layout, use_case=USE_CASE, built_by=SENSOR))
    assert demo_loop.made_by_the_sensor(shell) == passed


def as_canary(layout, release):
    """Judge a release as the demo judges what it makes of the champion."""
    shelf = Shelf(layout.shelf)
    held = shelf.verdict(USE_CASE, release, KeyRing.from_directory(layout.keys))
    assert held is not None
    said = held.model_copy(update={"rule": canaries.RULE})
    shelf.write_verdict(said, ensure_signer(layout.keys, "release"))


def test_two_people_sign_after_the_controller_refused_and_do_not_sign_twice(layout, shell, desk):
    serve(layout, shelve(layout, use_case=USE_CASE), counter=1, use_case=USE_CASE)
    release = shelve(
        layout,
        use_case=USE_CASE,
        risk_tier="high",
        approvers=(),
        built_by=SENSOR,
        rollout=fast_rollout(),
    )
    with at_work(desk):
        demo_release.sign_off(shell, release)
    told = said(shell)
    assert "is not signed off by risk and owner" in told
    signed = {a.statement.role: a.statement.who for a in approvals(desk, release)}
    assert signed == WHO
    demo_release.sign_off(shell, release)
    assert said(shell) == ""
    assert len(approvals(desk, release)) == 2


def approvals(desk, release):
    return desk.shelf.approvals(USE_CASE, release, desk.keys)


def test_a_person_lets_the_rollout_leave_a_stage_once_nothing_else_is_missing(layout, shell, desk):
    serve(layout, shelve(layout, use_case=USE_CASE), counter=1, use_case=USE_CASE)
    plan = fast_rollout(weights=(0.5, 1.0), waits=("high",))
    release = shelve(layout, use_case=USE_CASE, risk_tier="high", rollout=plan)
    assert desk.ask("start", release, use_case=USE_CASE).code == "done"
    board = RolloutBoard(layout.shelf)
    desk.controller().look()
    demo_release.approved_stage(shell, board)  # too few requests yet
    assert not desk.shelf.board.pending()
    rollout = desk.state(USE_CASE).rollout
    counts = worker_counts(0, 2_000, 0.5)
    desk.counts.publish(
        rollout.experiment, "worker", counts.model_dump_json().encode(), now_ms=desk.clock.now_ms()
    )
    desk.clock.advance(2_000)
    desk.controller().look()
    with at_work(desk):
        demo_release.approved_stage(shell, board)
    assert desk.state(USE_CASE).rollout.approved_stages == (0,)
    desk.controller().look()
    assert desk.state(USE_CASE).rollout.stage == 1
    assert [e.who for e in board.audit(USE_CASE) if e.event == "approved"] == [WHO["risk"]]


def test_a_release_that_serves_is_not_brought_to_anybody_again(layout, shell):
    release = shelve(layout, use_case=USE_CASE)
    serve(layout, release, counter=1, use_case=USE_CASE)
    demo_release.released(shell, release)
    assert said(shell) == f"  (there)  release {release} was signed off, shadowed and promoted\n"


def test_a_hold_that_is_over_is_not_begun_again(layout, shell):
    landing, window = layout.root / "landing", ("2026-11-08", "2026-11-21")
    simulate(landing, seed=1, transactions=400, days=10, end_ms=shell.clock.now_ms())
    shift.emptied(landing, now_ms=shell.clock.now_ms())
    fault = Fault(cause="null_shift", asset="events/card_profiles", partition="2026-11-21")
    for at_ms, faults in ((1, [fault]), (2, [])):
        Triages(layout.monitoring).put(triaged(USE_CASE, [], faults, at_ms=at_ms, window=window))
    with Runs(shell.settings, shell.say) as runs:
        demo_ending.incident(shell, runs)
    assert "the hold is over" in said(shell)


@pytest.mark.slow
def test_one_card_is_forgotten_once_and_its_certificate_verified_each_time(layout, shell):
    now_ms = shell.clock.now_ms()
    simulate(layout.root / "landing", seed=1, transactions=400, days=10, end_ms=now_ms)
    demo_ending.forgotten(shell)
    told = said(shell)
    assert "$ throughline forget --entity card_id=card-" in told
    assert ": nothing" not in told
    assert told.count("landing/transactions") == 1  # and not again with the certificate
    assert "\ncomplete\n" in told
    (journal,) = Erasures(layout).all()
    demo_ending.forgotten(shell)
    again = said(shell)
    assert f"(there)  a card was forgotten; its token is {journal.tombstone.token}" in again
    assert "$ throughline forget verify" in again
    assert "$ throughline audit verify" in again
    assert len(Erasures(layout).certificates(journal.tombstone.erasure_id)) == 1


def test_a_command_is_shown_as_a_person_would_type_it(shell):
    assert typed(shell, "forget", "list") == 0
    assert said(shell) == "\n$ throughline forget list\nnobody was forgotten here\n"
    with pytest.raises(PlatformError):
        typed(shell, "forget", "--entity", "card_id=card 1")
    assert said(shell) == "\n$ throughline forget --entity 'card_id=card 1'\n"
