"""What is wrong with one use case, or one request, holds up no other."""

import errno
import threading

import pytest
from bundles import shelve
from desks import Desk
from rollouts import fast_rollout, worker_counts

from core.clock import SystemClock
from core.errors import IntegrityError
from serving.background import Background
from serving.models.trials import Trials
from serving.rollouts.trials_beside import TrialsBeside
from stores.layout import Layout
from stores.shelf.rollouts import RolloutBoard


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path).create()


def roll_out(desk, use_case, **challenger):
    """A rollout at its last stage, with counts that say how its challenger does."""
    for _ in range(2):
        shelve(desk.layout, use_case=use_case, rollout=fast_rollout(weights=(1.0,)))
    desk.ask("promote", 1, use_case=use_case)
    desk.ask("start", 2, use_case=use_case)
    document = worker_counts(0, 8_000, 1.0, **challenger).model_dump_json().encode()
    experiment = desk.state(use_case).rollout.experiment
    desk.counts.publish(experiment, "w", document, now_ms=desk.clock.now_ms())


def look(desk):
    desk.clock.advance(1_000)
    controller = desk.controller()
    return controller.look(), controller.troubles


def changed_log(desk):
    (desk.layout.audit / "head.json").unlink()


def huge_counts(desk):
    """More than any machine counts, from whoever writes where workers do."""
    experiment = desk.state("alpha").rollout.experiment
    document = b'{"stages": {"0": {"challenger": {"n_requests": 1' + b"0" * 400 + b"}}}}"
    desk.counts.publish(experiment, "w", document, now_ms=desk.clock.now_ms())


@pytest.mark.parametrize(
    ("spoil", "said"), [(changed_log, "the audit log is not what was written"), (huge_counts, "")]
)
def test_the_gates_of_one_use_case_act_whatever_keeps_another_s(layout, spoil, said):
    desk = Desk(layout)
    roll_out(desk, "alpha")
    roll_out(desk, "beta", errors=400)
    spoil(desk)
    done, troubles = look(desk)
    assert ["beta: rolled_back release 2" in each for each in done] == [True]
    assert [each.startswith("alpha: ") and said in each for each in troubles] == [True] * bool(said)
    assert desk.state("alpha").challenger == 2
    assert (desk.state("beta").challenger, desk.state("beta").champion) == (None, 1)


def test_a_report_that_cannot_be_read_stops_no_gate(layout):
    desk = Desk(layout)
    roll_out(desk, "toy", errors=400)
    path = desk.shelf.root / "rollouts" / "toy" / "report.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    look(desk)
    assert desk.state().challenger is None
    report = RolloutBoard(desk.shelf.root).report("toy").rollout
    assert report is not None
    assert report.ended == "rolled_back"


class OnABadDisk:
    """Trials of a release whose files cannot be read."""

    def measured_bytes(self, folder, digest):
        raise OSError(errno.EIO, "secret")


def test_a_release_that_cannot_be_read_keeps_no_other_request_waiting(layout):
    desk = Desk(layout)
    for _ in range(3):
        shelve(layout)
    for release in (1, 2):
        desk.ask("promote", release)
    ask(desk, ("promote", "toy", 3), ("rollback", "toy", None))
    refused, followed = Desk(layout, OnABadDisk()).controller().work()
    assert refused.code == "dependency"
    assert "found input/output error" in refused.because
    assert (followed.code, desk.state().champion) == ("done", 1)


def test_a_folder_among_the_requests_is_passed_over(layout):
    desk = Desk(layout)
    shelve(layout)
    desk.ask("promote", 1)
    (desk.shelf.root / "requests" / "0000000001000-0123456789ab.json").mkdir()
    assert desk.ask("promote", 1).code == "unchanged"


class Trying(Trials):
    """Trials that go on until they are let go."""

    def __init__(self, directory):
        super().__init__(directory, patience_s=60)
        self.go_on = threading.Event()

    def measured_bytes(self, folder, digest):
        assert self.go_on.wait(60)
        raise IntegrityError("a release failed its trial", code="model_hangs")


@pytest.fixture
def trying(layout):
    """A desk whose trials go on, with two champions and a release that was never tried."""
    desk = Desk(layout)
    for use_case in ("toy", "toy", "toy", "other", "other"):
        shelve(layout, use_case=use_case)
    for use_case, release in (("toy", 1), ("toy", 2), ("other", 1)):
        desk.ask("promote", release, use_case=use_case)
    trials = Trying(layout.state / "trials")
    yield Desk(layout, TrialsBeside(trials, Background(SystemClock(), patience_s=60))), trials
    trials.go_on.set()


def ask(desk, *requests):
    asked = [
        desk.shelf.board.ask(action, use_case, release=release, why="w", who="a", at_ms=1_000 + n)
        for n, (action, use_case, release) in enumerate(requests)
    ]
    return [request.request_id for request in asked]


def codes(answers):
    return [(answer.request.action, answer.request.use_case, answer.code) for answer in answers]


def test_a_model_that_is_being_tried_keeps_only_its_own_use_case_waiting(trying):
    desk, trials = trying
    ask(desk, ("promote", "toy", 3), ("promote", "toy", 2), ("shadow", "other", None))
    assert codes(desk.controller().work()) == [("shadow", "other", "unchanged")]
    trials.go_on.set()
    assert codes(desk.controller().work()) == [
        ("promote", "toy", "model_hangs"),
        ("promote", "toy", "unchanged"),
    ]


@pytest.mark.parametrize("action", ["rollback", "withdraw"])
def test_a_way_back_waits_for_no_trial_and_nothing_older_comes_after_it(trying, action):
    desk, trials = trying
    ask(desk, ("promote", "toy", 3), ("promote", "toy", 2), (action, "toy", None))
    assert codes(desk.controller().work()) == [
        ("promote", "toy", "overtaken"),
        ("promote", "toy", "overtaken"),
        (action, "toy", "done" if action == "rollback" else "unchanged"),
    ]
    trials.go_on.set()
    assert desk.controller().work() == []
    assert desk.state().champion == (1 if action == "rollback" else 2)


def test_gates_act_while_a_model_is_being_tried(trying):
    desk, trials = trying
    trials.go_on.set()
    untried = Desk(desk.layout)
    roll_out(untried, "alpha", errors=400)
    trials.go_on.clear()
    ask(desk, ("promote", "toy", 3))
    assert desk.controller().work() == []
    done, _ = look(desk)
    assert "alpha: rolled_back release 2" in done[0]
