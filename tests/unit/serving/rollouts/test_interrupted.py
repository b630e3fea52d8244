"""A controller that ends, or cannot write, between any two steps of a move."""

import shutil

import pytest
from bundles import shelve
from desks import Desk
from dying_writes import dies_at
from rollouts import fast_rollout, worker_counts

from stores.audit.log import AuditLog
from stores.layout import Layout
from stores.shelf.rollouts import RolloutBoard

MOST_STEPS = 40


def told(desk):
    """Moves and refusals in the audit log, each with the counter it led to."""
    log = AuditLog.of(desk.layout, is_signing=False)
    found = log.latest(99, lambda record: record.what != "approved")
    return [(record.what, record.about.get("counter")) for record in found]


def three_champions(layout):
    desk = Desk(layout)
    for _ in range(3):
        desk.ask("promote", shelve(layout))
    return desk


def rolling_out(layout):
    desk = Desk(layout)
    for _ in range(2):
        shelve(layout, rollout=fast_rollout())
    desk.ask("promote", 1)
    desk.ask("start", 2)
    return desk


def copies(desk):
    """Steps, and a copy of a home for each."""
    for step in range(1, MOST_STEPS):
        root = desk.layout.root.with_name(str(step))
        shutil.copytree(desk.layout.root, root)
        copy = Desk(Layout(root))
        copy.clock.advance(10)
        yield step, copy


def asked(action, release=None):
    def leave(desk):
        desk.clock.advance(1)
        desk.shelf.board.ask(
            action, "toy", release=release, why="test", who="ann", at_ms=desk.clock.now_ms()
        )

    return leave


REQUESTS = {
    "rollback": (asked("rollback"), 2, "rolled_back"),
    "rollback to one": (asked("rollback", 1), 1, "rolled_back"),
    "promote": (asked("promote", 4), 4, "promoted"),
}


@pytest.mark.slow  # controllers that end at each of their writes
@pytest.mark.parametrize(("leave", "champion", "said"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_followed_once_and_told_once_wherever_the_controller_ends(
    tmp_path, leave, champion, said
):
    left = three_champions(Layout(tmp_path / "left").create())
    shelve(left.layout)
    leave(left)
    for step, desk in copies(left):
        (request_id,) = desk.shelf.board.pending()
        has_died = dies_at(step, desk.controller().work)
        desk.controller().work()
        assert desk.shelf.board.pending() == ()
        answer = desk.shelf.board.answer_to(request_id)
        assert (answer.is_accepted, answer.code, answer.counter) == (True, "done", 4)
        assert (desk.state().champion, desk.counter()) == (champion, 4)
        assert told(desk)[3:] == [(said, 4)]
        assert AuditLog.of(desk.layout, is_signing=False).verify(desk.keys).is_whole
        if not has_died:
            assert step > 5
            return
    pytest.fail("it never came to an end")


@pytest.mark.slow  # controllers that end at each of their writes
def test_the_gates_roll_back_once_wherever_the_controller_ends(tmp_path):
    left = rolling_out(Layout(tmp_path / "left").create())
    document = worker_counts(0, 8_000, 0.05, errors=100).model_dump_json().encode()
    experiment = left.state().rollout.experiment
    left.counts.publish(experiment, "w", document, now_ms=left.clock.now_ms())
    for step, desk in copies(left):
        has_died = dies_at(step, desk.controller().look)
        desk.controller().look()
        assert (desk.state().champion, desk.state().challenger, desk.counter()) == (1, None, 3)
        assert told(desk)[2:] == [("rollout_rolled_back", 3)]
        if not has_died:
            report = RolloutBoard(desk.shelf.root).report("toy").rollout
            assert report is not None
            assert report.ended == "rolled_back"
            assert step > 5
            return
    pytest.fail("it never came to an end")


def unwritable(folder):
    """Put a file where a folder should be: nobody, not even root, can write into it."""
    folder.rename(folder.with_name(f"{folder.name}.away"))
    folder.write_text("")


def writable(folder):
    folder.unlink()
    folder.with_name(f"{folder.name}.away").rename(folder)


@pytest.mark.parametrize(("folder", "counter"), [("history", 3), ("answers", 4)])
def test_a_shelf_that_cannot_be_written_gets_one_line_and_one_move_when_it_can(
    tmp_path, folder, counter
):
    desk = three_champions(Layout(tmp_path).create())
    before = told(desk)
    asked("rollback")(desk)
    unwritable(desk.shelf.root / folder)
    for _ in range(3):
        with pytest.raises(OSError, match=folder):
            desk.controller().work()
    assert told(desk) == [*before, ("rolled_back", 4)]
    assert desk.counter() == counter
    writable(desk.shelf.root / folder)
    (answer,) = desk.controller().work()
    assert (answer.is_accepted, answer.counter, desk.state().champion) == (True, 4, 2)
    assert told(desk) == [*before, ("rolled_back", 4)]


def test_a_refusal_that_cannot_be_answered_is_told_once(tmp_path):
    desk = three_champions(Layout(tmp_path).create())
    asked("promote", 99)(desk)
    unwritable(desk.shelf.root / "answers")
    for _ in range(3):
        with pytest.raises(OSError, match="answers"):
            desk.controller().work()
    writable(desk.shelf.root / "answers")
    (answer,) = desk.controller().work()
    assert answer.code == "unknown_release"
    assert told(desk)[3:] == [("request_refused", None)]


def test_a_move_that_is_made_again_on_a_shelf_that_was_put_back_is_told_again(tmp_path):
    desk = three_champions(Layout(tmp_path).create())
    (desk.shelf.root / "channels.json").write_bytes(
        (desk.shelf.root / "history" / "00000001.json").read_bytes()
    )
    for counter in (2, 3):
        (desk.shelf.root / "history" / f"{counter:08d}.json").unlink()
    desk.ask("promote", 2)
    assert told(desk)[3:] == [("promoted", 2)]


def test_channels_that_were_signed_and_not_put_in_place_are_served_at_the_next_look(tmp_path):
    desk = three_champions(Layout(tmp_path).create())
    kept = desk.shelf.root / "history" / "00000002.json"
    (desk.shelf.root / "channels.json").write_bytes(kept.read_bytes())
    assert desk.state().champion == 2
    assert desk.controller().look() == []
    assert (desk.state().champion, desk.counter()) == (3, 3)


def test_an_ending_that_cannot_be_written_takes_no_move_back(tmp_path):
    desk = rolling_out(Layout(tmp_path).create())
    desk.controller().look()
    report = desk.shelf.root / "rollouts" / "toy" / "report.json"
    report.write_text("{")
    assert desk.ask("withdraw").code == "done"
    assert desk.state().challenger is None
    assert told(desk)[2:] == [("rollout_withdrawn", 3)]
