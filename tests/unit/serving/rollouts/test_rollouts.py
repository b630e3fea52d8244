"""The controller and rollouts: what is asked, what the gates do, what is written down."""

import json

import pytest
from bundles import shelve
from desks import Desk
from rollouts import WEIGHTS, fast_rollout, worker_counts

from core.rollout.comparison import ComparisonCount
from core.rollout.published import WorkerCounts
from stores.audit.log import AuditLog
from stores.keys.signing import ensure_signer
from stores.layout import Layout
from stores.shelf.papers import StageApproval, StageApprovalStatement, signed_bytes
from stores.shelf.rollouts import AuditEntry, RolloutBoard


class RolloutDesk(Desk):
    """A desk with a champion, and a release that was declared to be rolled out."""

    def __init__(self, layout, **changes):
        super().__init__(layout)
        self.board = RolloutBoard(self.shelf.root)
        self.champion = shelve(layout)
        self.ask("promote", self.champion)
        self.release = shelve(layout, **{"rollout": fast_rollout(), **changes})

    @property
    def rollout(self):
        return self.state().rollout

    @property
    def report(self):
        return self.board.report("toy")

    def count(self, n, **challenger):
        counts = worker_counts(self.rollout.stage, n, self.state().challenger_weight, **challenger)
        self.publish(counts, f"worker {self.rollout.stage}")

    def publish(self, counts, worker):
        document = counts.model_dump_json().encode()
        now_ms = self.clock.now_ms()
        self.counts.publish(self.rollout.experiment, worker, document, now_ms=now_ms)

    def look(self, after_ms=1_000):
        self.clock.advance(after_ms)
        return self.controller().look()

    def events(self):
        return [entry.event for entry in self.board.audit("toy")]

    def approve(self, **changes):
        said = {
            "use_case": "toy", "experiment": self.rollout.experiment,
            "stage": self.rollout.stage, "who": "ann", "at_ms": self.clock.now_ms(), **changes,
        }  # fmt: skip
        statement = StageApprovalStatement(**said)
        signature = ensure_signer(self.layout.keys, "approval").sign(signed_bytes(statement))
        return StageApproval(statement=statement, signature=signature)


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path).create()


@pytest.fixture
def desk(layout):
    return RolloutDesk(layout)


@pytest.fixture
def running(desk):
    assert desk.ask("start", desk.release).is_accepted
    return desk


def test_a_rollout_starts_at_its_first_stage(desk):
    answer = desk.ask("start", desk.release)
    assert answer.is_accepted, answer.because
    state = desk.state()
    assert (state.champion, state.challenger, state.challenger_weight) == (1, 2, 0.05)
    assert (desk.rollout.experiment, desk.rollout.stage) == ("toy-2-2", 0)
    (entry,) = desk.board.audit("toy")
    assert (entry.event, entry.release, entry.who, entry.counter) == ("started", 2, "ann", 2)
    assert "stages 5%, 15%" in entry.why


def test_two_rollouts_of_one_release_assign_independently(running):
    first = running.rollout.experiment
    running.ask("withdraw")
    running.ask("start", running.release)
    assert running.rollout.experiment != first


@pytest.mark.parametrize(("action", "name"), [("start", "toy-2-2"), ("shadow", "toy-shadow-2-2")])
def test_counts_of_a_shelf_that_was_there_before_are_not_those_of_a_new_experiment(
    desk, action, name
):
    desk.counts.publish(name, "w", b"of another life", now_ms=desk.clock.now_ms())
    assert desk.ask(action, desk.release).is_accepted
    assert desk.state().experiments == (name,)
    assert desk.counts.read(name) == {}


def test_starting_what_runs_changes_nothing(running):
    assert running.ask("start", running.release).code == "unchanged"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"rollout": None}, "no_rollout_declared"),
        ({"approvers": ()}, "not_approved"),
        ({"is_passed": False}, "verdict_refused"),
    ],
)
def test_a_release_that_is_not_fit_is_not_rolled_out(layout, changes, code):
    desk = RolloutDesk(layout, **changes)
    assert desk.ask("start", desk.release).code == code
    assert desk.state().challenger is None


def test_a_rollout_needs_a_champion_and_no_other_rollout(running):
    assert running.ask("start", running.champion).code == "no_other_champion"
    other = shelve(running.layout, rollout=fast_rollout())
    assert running.ask("start", other).code == "rollout_running"
    alone = shelve(running.layout, use_case="other", rollout=fast_rollout())
    assert running.ask("start", alone, use_case="other").code == "no_other_champion"


def test_a_good_challenger_goes_through_all_stages_and_is_promoted(running):
    for stage, weight in enumerate(WEIGHTS):
        assert (running.rollout.stage, running.state().challenger_weight) == (stage, weight)
        running.count(4_000)
        (said,) = running.look()
    assert "promoted release 2" in said
    state = running.state()
    assert (state.champion, state.challenger, state.rollout) == (2, None, None)
    assert state.former_champions == (1,)
    assert running.events() == ["started"] + ["advanced"] * 5 + ["promoted"]
    report = running.report.rollout
    assert (report.ended, report.stage, len(report.stages)) == ("promoted", 5, 6)
    assert running.counts.read(report.experiment) == {}


def test_a_challenger_with_errors_is_rolled_back_with_its_numbers(running):
    running.count(8_000, errors=25)
    (said,) = running.look(after_ms=1)
    assert "rolled_back release 2" in said
    assert running.state().challenger is None
    assert running.state().champion == 1
    entry = running.board.audit("toy")[-1]
    assert (entry.event, entry.who, entry.release) == ("rolled_back", "the gates", 2)
    assert "6.25% of 400 challenger requests failed" in entry.why
    broken = [v["gate"] for v in entry.numbers["verdicts"] if v["state"] == "broken"]
    assert broken == ["errors", "errors_against_champion"]
    assert entry.numbers["stages"][0]["challenger"]["n_errors"] == 25
    assert running.report.rollout.ended == "rolled_back"


@pytest.mark.parametrize(
    ("n", "after_ms", "missing"), [(1_000, 1_000, "requests"), (4_000, 9, "ms")]
)
def test_a_stage_is_not_left_early(running, n, after_ms, missing):
    running.count(n)
    assert running.look(after_ms) == []
    step = running.report.rollout.step
    assert (step.action, [each.what for each in step.missing]) == ("hold", [missing])
    assert running.rollout.stage == 0


def test_what_a_person_holds_moves_on_only_when_they_let_it(running):
    running.ask("hold")
    running.count(4_000)
    assert running.look() == []
    assert "a person holds it" in running.report.rollout.step.because
    assert running.report.rollout.is_held
    assert running.ask("hold").code == "unchanged"
    running.ask("resume")
    assert len(running.look()) == 1
    assert running.events() == ["started", "held", "resumed", "advanced"]


def test_what_a_person_holds_is_rolled_back_all_the_same(running):
    running.ask("hold")
    running.count(8_000, errors=25)
    assert len(running.look()) == 1
    assert running.state().rollout is None


def waiting(layout):
    desk = RolloutDesk(layout, risk_tier="high", rollout=fast_rollout(waits=("high",)))
    desk.ask("start", desk.release)
    desk.count(4_000)
    desk.look()
    return desk


def test_a_high_risk_tier_waits_for_a_person(layout):
    desk = waiting(layout)
    assert desk.rollout.stage == 0
    assert "approvals (risk tier high)" in desk.report.rollout.step.because
    answer = desk.ask("approve_stage", approval=desk.approve())
    assert answer.is_accepted, answer.because
    assert "advanced release 2" in desk.look()[0]
    assert desk.rollout.stage == 1
    assert desk.look() == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"stage": 1}, "another_stage"),
        ({"experiment": "toy-2-1"}, "another_stage"),
        ({"use_case": "other"}, "another_stage"),
        ({"who": "bob"}, "another_approver"),
    ],
)
def test_an_approval_of_something_else_is_refused(layout, changes, code):
    desk = waiting(layout)
    assert desk.ask("approve_stage", approval=desk.approve(**changes)).code == code
    assert desk.look() == []


def test_an_approval_that_nobody_signed_is_refused(layout):
    desk = waiting(layout)
    assert desk.ask("approve_stage").code == "no_approval"
    said = desk.approve()
    forged = said.model_copy(update={"statement": said.statement.model_copy(update={"who": "x"})})
    assert desk.ask("approve_stage", approval=forged).code == "bad_signature"
    assert desk.rollout.approved_stages == ()


def test_a_person_takes_the_challenger_out(running):
    assert running.ask("withdraw").is_accepted
    assert running.state().rollout is None
    assert running.ask("withdraw").code == "unchanged"
    assert running.events() == ["started", "withdrawn"]


def test_a_person_promotes_the_challenger_at_once(running):
    running.look()
    assert running.ask("promote", running.release).is_accepted
    assert running.state().champion == running.release
    assert running.events()[-1] == "promoted"
    assert running.report.rollout.ended == "promoted"


@pytest.mark.parametrize("action", ["promote", "rollback"])
def test_another_champion_ends_a_rollout(running, action):
    other = shelve(running.layout)
    running.ask("withdraw")
    running.ask("promote", other)
    running.ask("start", running.release)
    assert running.ask(action, 1).is_accepted
    assert (running.state().champion, running.state().rollout) == (1, None)
    assert running.events()[-1] == "overtaken"


def test_blue_green_is_everything_at_once_and_back(desk):
    desk.ask("start", desk.release, is_at_once=True)
    assert desk.state().challenger_weight == 1
    desk.ask("withdraw")
    assert (desk.state().challenger_weight, desk.state().champion) == (0, 1)


def test_counts_that_cannot_be_read_move_nothing(running):
    running.counts.publish(running.rollout.experiment, "w", b"nonsense", now_ms=0)
    assert running.look() == []
    assert "what worker w counted cannot be read" in running.report.rollout.trouble
    assert running.rollout.stage == 0


def test_a_challenger_that_was_changed_on_the_shelf_is_not_promoted(layout):
    desk = RolloutDesk(layout, rollout=fast_rollout(weights=(1.0,)))
    desk.ask("start", desk.release)
    desk.count(1_000)
    path = desk.shelf.bundle("toy", desk.release) / "model.onnx"
    path.write_bytes(path.read_bytes() + b" ")
    assert desk.look() == []
    assert "is not what was built" in desk.report.rollout.step.because
    assert desk.state().champion == desk.champion


def test_a_shadow_is_compared_and_said_to_be_alike(desk):
    assert desk.ask("shadow", desk.release).is_accepted
    state = desk.state()
    assert (state.shadow, state.challenger) == (desk.release, None)
    count = ComparisonCount()
    for n in range(200):
        count.requested(5.0, 0.1, 0.1)
        count.answered((n / 200, "APPROVE"), (n / 200, "REVIEW" if n == 199 else "APPROVE"))
    document = WorkerCounts(comparison=count.comparison()).model_dump_json().encode()
    desk.counts.publish(state.shadow_experiment, "w", document, now_ms=desk.clock.now_ms())
    desk.look()
    shadow = desk.report.shadow
    assert (shadow.release, shadow.verdict.state) == (desk.release, "alike")
    assert shadow.flips == {"APPROVE -> REVIEW": 1}
    assert desk.ask("shadow").is_accepted
    assert desk.state().shadow is None
    assert desk.events() == ["shadow_set", "shadow_removed"]


def test_a_shadow_whose_counts_cannot_be_read_says_so(desk):
    desk.ask("shadow", desk.release)
    experiment = desk.state().shadow_experiment
    desk.counts.publish(experiment, "w", b'{"counted_as": 99}', now_ms=desk.clock.now_ms())
    desk.look()
    verdict = desk.report.shadow.verdict
    assert verdict.state == "too_few"
    assert "worker w counts in another way" in verdict.because[0]


def test_a_shadow_must_be_another_release_that_is_whole(desk):
    assert desk.ask("shadow", desk.champion).code == "no_shadow_of_itself"
    assert desk.ask("shadow", 99).code == "unknown_release"
    assert desk.ask("shadow").code == "unchanged"


def test_a_shadow_that_is_rolled_out_is_a_shadow_no_more(desk):
    desk.ask("shadow", desk.release)
    desk.ask("start", desk.release)
    assert (desk.state().shadow, desk.state().shadow_experiment) == (None, "")


def test_channels_without_rollouts_are_signed_as_they_always_were(desk):
    signed = json.loads(desk.shelf.board.path.read_text())
    state = signed["channels"]["use_cases"]["toy"]
    assert "rollout" not in state
    assert "shadow_experiment" not in state


def test_a_torn_line_of_the_audit_log_is_passed_over(running):
    with (running.layout.audit / "000000000001.jsonl").open("ab") as file:
        file.write(b'{"at_ms": 1, "numbers": {}')
    assert running.events() == ["started"]
    running.ask("withdraw")
    assert running.events() == ["started", "withdrawn"]
    assert all(isinstance(entry, AuditEntry) for entry in running.board.audit("toy", latest=1))


def audited(desk):
    """Records but those of approvals, which the desk's releases begin with."""
    log = AuditLog.of(desk.layout, is_signing=False)
    return log.latest(99, lambda record: record.what != "approved")


def test_on_a_changed_audit_log_nothing_goes_on_but_the_way_back_is_open(running):
    (running.layout.audit / "head.json").unlink()
    answer = running.ask("promote", running.release)
    assert (answer.is_accepted, answer.code) == (False, "audit_changed")
    assert running.state().challenger == running.release
    assert running.ask("withdraw").is_accepted
    assert running.state().challenger is None
    assert [record.what for record in audited(running)] == ["promoted", "rollout_started"]


def test_every_move_and_every_refusal_is_in_the_log_and_signed(running):
    running.ask("promote", 99)
    running.ask("promote", running.release)
    running.ask("rollback")
    records = audited(running)
    assert [record.what for record in records] == [
        "promoted",
        "rollout_started",
        "request_refused",
        "rollout_promoted",
        "promoted",
        "rolled_back",
    ]
    assert records[2].about["code"] == "unknown_release"
    assert records[2].about["release"] == 99
    promoted = records[4]
    statement = running.shelf.statement("toy", running.release)
    assert (promoted.who, promoted.about["before"]) == ("ann", records[0].about["release"])
    assert promoted.about["manifest_digest"] == statement.manifest_digest
    assert records[5].about["release"] == records[0].about["release"]
    found = AuditLog.of(running.layout, is_signing=False).verify(running.keys)
    assert (found.is_whole, found.n_signed) == (True, records[-1].n)
