import errno
import json

import pytest
from bundles import serve, shelve
from desks import Desk

from core.clock import DAY_MS, FixedClock
from core.errors import ConfigurationError, IntegrityError, InvalidInputError
from core.sign_offs import SignOff, missing_roles
from serving.controller import run
from serving.rollouts.controlling import Controller
from serving.settings import Settings
from stores.keys.signing import KeyRing, ensure_signer
from stores.layout import Layout
from stores.shelf.channels import document_bytes
from stores.shelf.papers import Approval, ApprovalStatement, signed_bytes
from stores.shelf.shelf import Shelf


@pytest.fixture
def desk(tmp_path):
    return Desk(Layout(tmp_path).create())


def test_a_release_that_is_fit_becomes_champion(desk):
    release = shelve(desk.layout)
    answer = desk.ask("promote", release)
    assert answer.is_accepted
    assert answer.code == "done"
    assert "0.61 is above the floor" in answer.because
    assert desk.state().champion == release
    assert desk.counter() == answer.counter == 1


def test_promoting_the_champion_again_changes_nothing(desk):
    release = shelve(desk.layout)
    desk.ask("promote", release)
    answer = desk.ask("promote", release)
    assert (answer.is_accepted, answer.code, answer.counter) == (True, "unchanged", 1)


def unsigned(desk, release):
    (desk.shelf.release_folder("toy", release) / "signatures.json").unlink()


def changed_model(desk, release):
    path = desk.shelf.bundle("toy", release) / "model.onnx"
    path.write_bytes(path.read_bytes() + b" ")


def without_verdict(desk, release):
    (desk.shelf.release_folder("toy", release) / "verdict.json").unlink()


def forged_verdict(desk, release):
    path = desk.shelf.release_folder("toy", release) / "verdict.json"
    path.write_text(path.read_text().replace('"is_passed": false', '"is_passed": true'))


def expired(desk, release):
    del release
    desk.clock.advance(DAY_MS)


@pytest.mark.parametrize(
    ("spoil", "changes", "code"),
    [
        (unsigned, {}, "unsigned"),
        (changed_model, {}, "bundle_broken"),
        (without_verdict, {}, "no_verdict"),
        (None, {"is_passed": False}, "verdict_refused"),
        (forged_verdict, {"is_passed": False}, "bad_signature"),
        (None, {"approvers": ()}, "not_approved"),
        (None, {"approvers": (), "risk_tier": "high"}, "not_approved"),
        (None, {"approvers": ("ann",), "risk_tier": "high"}, "not_approved"),
        (None, {"approvers": ("ann", "Ann "), "risk_tier": "high"}, "not_approved"),
        (None, {"approvers": ("ann",), "sign_offs": ("legal",)}, "not_approved"),
        (expired, {"valid_ms": DAY_MS}, "not_approved"),
    ],
)
def test_a_release_that_is_not_fit_is_refused_with_the_reason(desk, spoil, changes, code):
    good = shelve(desk.layout)
    desk.ask("promote", good)
    release = shelve(desk.layout, **changes)
    if spoil:
        spoil(desk, release)
    answer = desk.ask("promote", release)
    assert not answer.is_accepted
    assert answer.code == code
    assert desk.state().champion == good
    assert desk.counter() == answer.counter == 1


def test_a_refusal_by_the_rule_says_its_numbers(desk):
    answer = desk.ask("promote", shelve(desk.layout, is_passed=False))
    assert "0.21 is below the floor 0.3" in answer.because


def test_low_risk_needs_no_approval(desk):
    assert desk.ask("promote", shelve(desk.layout, risk_tier="low", approvers=())).is_accepted


def test_a_high_risk_tier_takes_two_people_in_two_roles(desk):
    answer = desk.ask("promote", shelve(desk.layout, risk_tier="high"))
    assert answer.is_accepted
    assert "signed off by risk and owner" in answer.because


def test_what_is_missing_is_said(desk):
    answer = desk.ask("promote", shelve(desk.layout, risk_tier="high", approvers=("ann",)))
    assert "release 1 of toy is not signed off by owner" in answer.because
    assert "`throughline approve toy 1 --role owner`" in answer.because


def test_who_built_a_release_cannot_approve_it_nor_be_counted(desk):
    with pytest.raises(InvalidInputError, match="who built release 1 of toy cannot approve it"):
        shelve(desk.layout, built_by="Ann")
    release = shelve(desk.layout, built_by="Carl", approvers=())
    assert desk.ask("promote", release).code == "not_approved"
    assert missing_roles(
        ("risk",), [SignOff(who="carl", role="risk", expires_at_ms=9)], author="Carl", now_ms=1
    ) == ("risk",)


def test_a_changed_byte_of_the_manifest_voids_every_approval(desk):
    release = shelve(desk.layout)
    path = desk.shelf.bundle("toy", release) / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"code_version":"test"', b'"code_version":"tesT"'))
    assert desk.shelf.approvals("toy", release, desk.keys) == ()
    assert desk.ask("promote", release).code == "bad_signature"


def test_an_approval_from_before_there_were_roles_signs_nothing_off(desk):
    release = shelve(desk.layout, approvers=())
    statement = ApprovalStatement(
        **desk.shelf.statement("toy", release).model_dump(), who="ann", at_ms=1
    )
    signer = ensure_signer(desk.layout.keys, "approval")
    approval = Approval(statement=statement, signature=signer.sign(signed_bytes(statement)))
    folder = desk.shelf.release_folder("toy", release) / "approvals"
    folder.mkdir()
    assert b"expires" not in document_bytes(approval)
    (folder / "ann.json").write_bytes(document_bytes(approval))
    assert desk.ask("promote", release).code == "not_approved"


def test_an_approval_of_another_release_does_not_count(desk):
    approved, other = shelve(desk.layout), shelve(desk.layout, approvers=())
    source = desk.shelf.release_folder("toy", approved) / "approvals"
    target = desk.shelf.release_folder("toy", other) / "approvals"
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    assert desk.ask("promote", other).code == "not_approved"


@pytest.mark.parametrize(
    ("action", "release", "code"),
    [
        ("promote", None, "no_release_named"),
        ("promote", 99, "unknown_release"),
        ("rollback", None, "no_former_champion"),
        ("rollback", 1, "no_former_champion"),
    ],
)
def test_a_request_that_names_nothing_is_refused(desk, action, release, code):
    assert desk.ask(action, release).code == code


def test_a_name_that_is_no_use_case_is_refused(desk):
    assert desk.ask("promote", 1, use_case="../../etc").code == "bad_name"


def test_rolling_back_goes_to_the_champion_before(desk):
    first, second = shelve(desk.layout), shelve(desk.layout)
    desk.ask("promote", first)
    desk.ask("promote", second)
    answer = desk.ask("rollback")
    assert answer.is_accepted
    assert desk.state().champion == first
    assert desk.counter() == 3


def test_rolling_back_twice_goes_further_back_and_never_to_what_was_left(desk):
    releases = [shelve(desk.layout) for _ in range(3)]
    for release in releases:
        desk.ask("promote", release)
    desk.ask("rollback")
    desk.ask("rollback")
    assert desk.state().champion == releases[0]
    assert desk.ask("rollback").code == "no_former_champion"


def test_rolling_back_to_a_named_release(desk):
    releases = [shelve(desk.layout) for _ in range(3)]
    for release in releases:
        desk.ask("promote", release)
    assert desk.ask("rollback", releases[0]).is_accepted
    assert desk.state().champion == releases[0]
    assert desk.ask("rollback", releases[2]).code == "no_former_champion"


def test_rolling_back_to_what_never_served_is_refused(desk):
    for release in (shelve(desk.layout), shelve(desk.layout)):
        desk.ask("promote", release)
    assert desk.ask("rollback", shelve(desk.layout)).code == "not_a_former_champion"


def test_rolling_back_to_a_spoilt_release_is_refused(desk):
    first, second = shelve(desk.layout), shelve(desk.layout)
    desk.ask("promote", first)
    desk.ask("promote", second)
    changed_model(desk, first)
    assert desk.ask("rollback").code == "bundle_broken"
    assert desk.state().champion == second


def test_what_was_rolled_back_may_be_promoted_again(desk):
    first, second = shelve(desk.layout), shelve(desk.layout)
    for release in (first, second):
        desk.ask("promote", release)
    desk.ask("rollback")
    assert desk.ask("promote", second).is_accepted
    assert desk.state().former_champions == (first,)


def test_requests_are_answered_in_order_of_arrival(desk):
    first, second = shelve(desk.layout), shelve(desk.layout)
    board = desk.shelf.board
    board.ask("promote", "toy", release=second, why="w", who="a", at_ms=2_000)
    board.ask("promote", "toy", release=first, why="w", who="a", at_ms=1_000)
    answers = desk.controller().work()
    assert [answer.counter for answer in answers] == [1, 2]
    assert desk.state().champion == second
    assert board.pending() == ()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"action": "promote"}', "[" * 10_000])
def test_a_file_that_is_no_request_is_answered_and_taken_away(desk, content):
    folder = desk.layout.shelf / "requests"
    folder.mkdir()
    (folder / "0000000001000-0123456789ab.json").write_text(content)
    (answer,) = desk.controller().work()
    assert (answer.is_accepted, answer.code, answer.request) == (False, "bad_document", None)
    assert desk.shelf.board.pending() == ()


def test_a_request_under_another_name_is_refused(desk):
    request = desk.shelf.board.ask("promote", "toy", release=1, why="w", who="a", at_ms=1_000)
    path = desk.layout.shelf / "requests" / f"{request.request_id}.json"
    path.rename(path.with_name("0000000001000-0123456789ab.json"))
    (answer,) = desk.controller().work()
    assert not answer.is_accepted


def test_nothing_is_decided_on_channels_that_somebody_else_wrote(desk):
    desk.ask("promote", shelve(desk.layout))
    path = desk.shelf.board.path
    path.write_text(path.read_text().replace('"champion": 1', '"champion": 2'))
    answer = desk.ask("promote", shelve(desk.layout))
    assert (answer.is_accepted, answer.code) == (False, "bad_signature")


def test_the_counter_never_goes_back_though_the_file_is_lost(desk):
    first, second = shelve(desk.layout), shelve(desk.layout)
    desk.ask("promote", first)
    desk.shelf.board.path.unlink()
    desk.ask("promote", second)
    assert desk.counter() == 2
    assert desk.state().former_champions == (first,)


def test_every_state_of_the_channels_is_kept_signed(desk):
    for _ in range(3):
        desk.ask("promote", shelve(desk.layout))
    history = sorted((desk.layout.shelf / "history").iterdir())
    counters = [json.loads(path.read_text())["channels"]["counter"] for path in history]
    assert counters == [1, 2, 3]


def test_one_use_case_s_champion_leaves_the_others_alone(desk):
    desk.ask("promote", shelve(desk.layout))
    desk.ask("promote", shelve(desk.layout, use_case="other"), use_case="other")
    assert (desk.state("toy").champion, desk.state("other").champion) == (1, 1)


def test_a_request_that_was_carried_out_before_a_crash_is_not_carried_out_twice(desk):
    release = shelve(desk.layout)
    serve(desk.layout, release, counter=1)  # channels written, answer not
    answer = desk.ask("promote", release)
    assert (answer.is_accepted, answer.code, answer.counter) == (True, "unchanged", 1)


def test_the_process_answers_once_and_tells(desk):
    desk.shelf.board.ask("promote", "toy", release=9, why="w", who="a", at_ms=1_000)
    told: list[str] = []
    settings = Settings(home=desk.layout.root)
    run(settings, desk.clock, lambda seconds: False, told.append, is_once=True)
    assert len(told) == 1
    assert "refused" in told[0]
    assert "release 9 of toy is not on the shelf" in told[0]


def test_a_full_disk_ends_no_controller_and_what_waits_is_answered_when_there_is_room(
    desk, monkeypatch
):
    desk.shelf.board.ask("promote", "toy", release=9, why="w", who="a", at_ms=1_000)
    told, rounds = list[str](), iter([False, False, True])

    def full(_controller):
        raise OSError(errno.ENOSPC, "secret")

    def stop(_seconds):
        is_last = next(rounds)
        if not told or "wait" not in told[-1]:
            return is_last
        monkeypatch.undo()
        return is_last

    monkeypatch.setattr(Controller, "work", full)
    run(Settings(home=desk.layout.root), desk.clock, stop, told.append)
    assert told[0].startswith("requests wait")
    assert "No space left on device" in told[0]
    assert "secret" not in told[0]
    assert "refused" in told[-1]


def test_a_controller_does_not_need_release_keys_at_its_start(tmp_path):
    layout = Layout(tmp_path)
    run(Settings(home=tmp_path), FixedClock(0), lambda seconds: True, list[str]().append)
    assert (layout.keys / "channels.private.pem").exists()
    with pytest.raises(IntegrityError):
        Shelf(layout.shelf).verify("toy", shelve(layout), KeyRing([]))


def test_a_home_that_cannot_be_written_to_is_said_in_a_sentence(tmp_path):
    home = tmp_path / "home"
    home.write_text("")
    with pytest.raises(ConfigurationError, match="the controller cannot write to its home") as met:
        run(Settings(home=home), FixedClock(0), lambda seconds: True, list[str]().append)
    assert "not a directory" in met.value.found
    assert "THROUGHLINE_HOME" in met.value.remedy


def test_a_home_that_cannot_be_written_to_for_a_while_ends_no_controller(desk):
    told, rounds = list[str](), iter([False, True])
    keys, away = desk.layout.keys, desk.layout.root / "away"
    desk.shelf.board.ask("promote", "toy", release=9, why="w", who="a", at_ms=1_000)

    def stop(_seconds):
        if keys.is_dir():
            keys.rename(away)
            keys.write_text("")
        else:
            keys.unlink()
            away.rename(keys)
        return next(rounds, True)

    run(Settings(home=desk.layout.root), desk.clock, stop, told.append)
    assert any(str(each).startswith("requests wait") for each in told)
