import json
import shutil
import threading

import pytest
from bundles import USE_CASE, bundle_files, manifest_of, serve, shelve
from payments import NOW_MS

from core.errors import IntegrityError, InvalidInputError, NotReadyError
from stores.audit.log import AuditLog
from stores.keys.signing import KeyRing, ensure_signer
from stores.layout import Layout
from stores.shelf.bundle import MANIFEST, write_bundle
from stores.shelf.channels import ChannelAnswer, Channels, ChannelState
from stores.shelf.shelf import Shelf


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path).create()


@pytest.fixture
def shelf(layout):
    return Shelf(layout.shelf)


def keys_of(layout):
    return KeyRing.from_directory(layout.keys)


def build(tmp_path, release, name="built"):
    write_bundle(tmp_path / name, manifest_of(release), bundle_files())
    return tmp_path / name


def test_numbers_only_grow_though_releases_are_removed(layout, shelf):
    for expected in (1, 2, 3):
        assert shelf.allocate_release("fraud") == expected
    (shelf.root / "releases" / "fraud" / "3").rmdir()
    assert shelf.allocate_release("fraud") == 4
    shutil.rmtree(shelf.root / "releases")
    assert Shelf(layout.shelf).allocate_release("fraud") == 5
    (shelf.root / "releases" / "fraud" / "9").mkdir()  # put there by another way
    assert shelf.allocate_release("fraud") == 10
    (shelf.root / "numbers" / "fraud").write_text("nine")
    with pytest.raises(IntegrityError, match="the last number"):
        shelf.allocate_release("fraud")


def test_numbers_are_allocated_once_each_by_many_threads(shelf):
    taken: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: taken.extend(shelf.allocate_release("fraud") for _ in range(20))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 81))


def test_an_allocated_number_without_a_bundle_is_a_gap(shelf):
    assert (shelf.allocate_release("fraud"), shelf.allocate_release("fraud")) == (1, 2)
    assert shelf.releases("fraud") == ()
    with pytest.raises(NotReadyError, match="not on the shelf"):
        shelf.bundle("fraud", 1)


def test_a_bundle_is_put_where_its_manifest_says(layout, shelf, tmp_path):
    built = build(tmp_path, 7)
    statement = shelf.put(built)
    assert (statement.use_case, statement.release) == (USE_CASE, 7)
    assert (
        statement.manifest_digest
        == manifest_of(7)
        .model_copy(update={"files": json.loads((built / MANIFEST).read_bytes())["files"]})
        .digest
    )
    assert shelf.releases(USE_CASE) == (7,)
    assert shelf.use_cases() == (USE_CASE,)
    assert shelf.allocate_release(USE_CASE) == 8


def test_putting_the_same_bundle_again_changes_nothing(shelf, tmp_path):
    built = build(tmp_path, 1)
    assert shelf.put(built) == shelf.put(built)


def test_another_bundle_of_the_same_number_is_refused(shelf, tmp_path):
    shelf.put(build(tmp_path, 1))
    write_bundle(tmp_path / "other", manifest_of(1, code_version="other"), bundle_files())
    with pytest.raises(IntegrityError) as refused:
        shelf.put(tmp_path / "other")
    assert refused.value.code == "release_taken"


def test_a_half_copied_bundle_is_never_seen(shelf, tmp_path):
    built = build(tmp_path, 1)
    (built / "unreadable").symlink_to(tmp_path / "missing")
    with pytest.raises(shutil.Error):
        shelf.put(built)
    assert shelf.releases(USE_CASE) == ()
    assert [path.name for path in shelf.release_folder(USE_CASE, 1).iterdir()] == [".lock"]


def test_a_release_is_verified_by_its_signature(layout, shelf):
    release = shelve(layout)
    assert shelf.verify(USE_CASE, release, keys_of(layout)).release == release
    assert shelf.verified(USE_CASE, release, keys_of(layout)).manifest.use_case == USE_CASE


def test_an_unsigned_release_is_refused(layout, shelf, tmp_path):
    shelf.put(build(tmp_path, 1))
    with pytest.raises(IntegrityError) as refused:
        shelf.verify(USE_CASE, 1, keys_of(layout))
    assert refused.value.code == "unsigned"


def test_a_release_signed_by_a_stranger_is_refused(layout, shelf, tmp_path):
    shelf.put(build(tmp_path, 1))
    ensure_signer(layout.keys, "release")
    shelf.sign(USE_CASE, 1, ensure_signer(tmp_path / "stranger", "release"))
    with pytest.raises(IntegrityError) as refused:
        shelf.verify(USE_CASE, 1, keys_of(layout))
    assert refused.value.code == "unknown_key"


def test_a_changed_manifest_loses_its_signature(layout, shelf):
    release = shelve(layout)
    path = shelf.bundle(USE_CASE, release) / MANIFEST
    path.write_bytes(path.read_bytes().replace(b'"test"', b'"tost"'))
    with pytest.raises(IntegrityError) as refused:
        shelf.verify(USE_CASE, release, keys_of(layout))
    assert refused.value.code == "bad_signature"


@pytest.mark.parametrize("name", ["model.onnx", "golden.json", "explainer.json"])
def test_a_changed_file_is_found(layout, shelf, name):
    release = shelve(layout)
    path = shelf.bundle(USE_CASE, release) / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(IntegrityError):
        shelf.verified(USE_CASE, release, keys_of(layout))


def test_an_older_release_does_not_pass_for_a_newer_one(layout, shelf):
    older, newer = shelve(layout), shelve(layout)
    folder = shelf.release_folder(USE_CASE, newer)
    for path in (folder / "bundle").iterdir():
        path.write_bytes((shelf.bundle(USE_CASE, older) / path.name).read_bytes())
    signatures = shelf.release_folder(USE_CASE, older) / "signatures.json"
    (folder / "signatures.json").write_bytes(signatures.read_bytes())
    with pytest.raises(IntegrityError) as refused:
        shelf.verify(USE_CASE, newer, keys_of(layout))
    assert refused.value.code == "wrong_release"


def test_approvals_count_people_and_roles_not_files(layout, shelf):
    release = shelve(layout, approvers=())
    signer = ensure_signer(layout.keys, "approval")
    for who, role in (("ann", "risk"), ("bob", "risk"), ("ann", "risk"), ("ann", "owner")):
        shelf.approve(
            USE_CASE, release, who=who, role=role, comment="", at_ms=NOW_MS, signer=signer
        )
    found = [a.statement for a in shelf.approvals(USE_CASE, release, keys_of(layout))]
    expected = [("ann", "owner"), ("ann", "risk"), ("bob", "risk")]
    assert sorted((each.who, each.role) for each in found) == expected
    records = AuditLog.of(layout, is_signing=False).latest(9)
    assert [(r.what, r.who, r.about["role"]) for r in records][-2:] == [
        ("approved", "ann", "risk"),
        ("approved", "ann", "owner"),
    ]
    assert records[-1].about["manifest_digest"] == found[0].manifest_digest


def test_an_approval_of_another_manifest_does_not_count(layout, shelf):
    first, second = shelve(layout), shelve(layout, approvers=())
    source = shelf.release_folder(USE_CASE, first) / "approvals"
    target = shelf.release_folder(USE_CASE, second) / "approvals"
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    assert shelf.approvals(USE_CASE, second, keys_of(layout)) == ()


def test_a_forged_approval_is_an_error(layout, shelf):
    release = shelve(layout)
    (path,) = (shelf.release_folder(USE_CASE, release) / "approvals").iterdir()
    path.write_text(path.read_text().replace('"ann"', '"eve"'))
    with pytest.raises(IntegrityError):
        shelf.approvals(USE_CASE, release, keys_of(layout))


def test_the_verdict_is_bound_to_the_manifest(layout, shelf):
    first, second = shelve(layout), shelve(layout)
    verdict = shelf.verdict(USE_CASE, first, keys_of(layout))
    assert verdict is not None
    assert verdict.is_passed
    path = shelf.release_folder(USE_CASE, second) / "verdict.json"
    path.write_bytes((shelf.release_folder(USE_CASE, first) / "verdict.json").read_bytes())
    assert shelf.verdict(USE_CASE, second, keys_of(layout)) is None
    path.unlink()
    assert shelf.verdict(USE_CASE, second, keys_of(layout)) is None


@pytest.mark.parametrize("name", ["../x", "", "a b", "Fraud", "a/b", "x" * 81])
def test_a_name_that_is_no_use_case_never_becomes_a_path(shelf, name):
    with pytest.raises(InvalidInputError):
        shelf.releases(name)


def test_channels_are_read_as_signed(layout, shelf):
    assert shelf.board.read(keys_of(layout)) == Channels()
    written = serve(layout, 3, counter=1)
    assert shelf.board.read(keys_of(layout)) == written
    assert written.state(USE_CASE).releases == (3,)
    assert written.state("other") == ChannelState()


def test_changed_channels_are_refused(layout, shelf):
    serve(layout, 3, counter=1)
    path = shelf.board.path
    path.write_text(path.read_text().replace('"champion": 3', '"champion": 2'))
    with pytest.raises(IntegrityError) as refused:
        shelf.board.read(keys_of(layout))
    assert refused.value.code == "bad_signature"


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 100_000, b"\xff"])
def test_channels_that_are_no_document_are_refused(layout, shelf, content):
    shelf.board.path.write_bytes(content)
    with pytest.raises(IntegrityError) as refused:
        shelf.board.read(keys_of(layout))
    assert refused.value.code == "bad_document"


def test_channels_of_any_size_are_not_read(layout, shelf):
    shelf.board.path.write_bytes(b"x" * (1 << 20 | 1))
    with pytest.raises(IntegrityError) as refused:
        shelf.board.read(keys_of(layout))
    assert refused.value.code == "bad_file"


def test_the_latest_channels_are_those_of_the_history_when_the_file_is_lost(layout, shelf):
    serve(layout, 3, counter=1)
    written = serve(layout, 4, counter=2)
    shelf.board.path.unlink()
    assert shelf.board.latest(keys_of(layout)) == written


def test_requests_are_answered_in_order_and_once(layout, shelf):
    board = shelf.board
    asked = [
        board.ask("promote", "toy", release=n, why="better", who="ann", at_ms=at_ms)
        for n, at_ms in ((1, 3_000), (2, 1_000), (3, 2_000))
    ]
    in_order = sorted(asked, key=lambda request: request.at_ms)
    assert list(board.pending()) == [request.request_id for request in in_order]
    first = in_order[0]
    assert board.request(first.request_id) == first
    assert board.answer_to(first.request_id) is None
    answer = ChannelAnswer(
        request_id=first.request_id, request=first, is_accepted=True, because="", counter=1, at_ms=1
    )
    board.answer(answer)
    assert board.answer_to(first.request_id) == answer
    assert first.request_id not in board.pending()


def test_an_id_that_is_none_never_becomes_a_path(shelf):
    with pytest.raises(InvalidInputError):
        shelf.board.answer_to("../../channels")
