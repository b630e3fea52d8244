"""Files whose period is over: what is found of them, and that a removal can be done again."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from core.features.keys import epoch_of
from stores.log.epochs import manifest_path
from stores.log.source_log import SourceLog
from stores.records.segments import SHIPPED
from stores.records.shared import ASIDE
from stores.sweeping import (
    NEVER_LANDED,
    NEWEST,
    RETIRED,
    WAITING,
    bundle_pieces,
    epoch_pieces,
    landing_pieces,
    remove_bundles,
    remove_epochs,
    remove_files,
    segment_pieces,
)

UNREAD = "online values do not cover it"


@pytest.fixture
def log(tmp_path):
    """Four sealed epochs with one event each, and an open one."""
    log = SourceLog(tmp_path / "log", "s")
    for number in range(1, 5):
        log.append([b'{"event_id": "e%d"}' % number], now_ms=number)
        log.seal(number)
    log.append([b'{"event_id": "open"}'], now_ms=9)
    return log


def pieces_of(log, *, ingested=9, covered=9):
    found = epoch_pieces(log, ingested=ingested, covered=covered, uncovered_by=UNREAD)
    return {piece.name: piece for piece in found}


def test_epochs_count_from_their_sealing_and_the_open_one_is_none(log):
    assert {name: piece.born_ms for name, piece in pieces_of(log).items()} == {
        str(number): number for number in range(1, 5)
    }


def test_the_last_epoch_and_those_that_somebody_has_yet_to_read_are_needed(log):
    found = pieces_of(log, ingested=2, covered=1)
    assert [found[str(n)].needed for n in range(1, 5)] == [
        "",
        UNREAD,
        "not ingested yet",
        "not ingested yet",
    ]
    assert pieces_of(log)["4"].needed == NEWEST


def test_removed_epochs_are_gone_and_the_rest_keep_their_positions(log):
    before = [p for p, _ in log.read_open() if epoch_of(p) > 2]
    remove_epochs(log.directory, ["1", "2"])
    reopened = SourceLog(log.directory, "s")
    assert [epoch.epoch for epoch in reopened.epochs()] == [3, 4]
    assert [position for position, _ in reopened.read_open()] == before
    assert not list(log.directory.glob("000000000[12]*"))
    (position,) = reopened.append([b'{"event_id": "later"}'], now_ms=10)
    assert epoch_of(position) == 5


def test_a_sweep_killed_between_manifest_and_data_is_finished_by_the_next(log):
    manifest_path(log.directory, 1).unlink()  # here it died
    assert (log.directory / "0000000001.ndjson").exists()
    remove_epochs(log.directory, [])
    assert not (log.directory / "0000000001.ndjson").exists()
    assert (log.directory / "0000000005.ndjson").exists()  # the open one
    remove_epochs(log.directory, ["1"])  # the plan of the dead sweep, once more


def test_a_landed_file_may_go_and_one_that_never_was_landed_is_needed(tmp_path, log):
    folder = tmp_path / "landing"
    folder.mkdir()
    for name in ("taken", "left", "young"):
        (folder / f"{name}.ndjson").write_text(json.dumps({"event_id": name}) + "\n")
        os.utime(folder / f"{name}.ndjson", (1, 1))
    os.utime(folder / "young.ndjson", (9, 9))
    log.land(folder / "taken.ndjson", now_ms=20)
    found = {p.name: p for p in landing_pieces(folder, log, older_than_ms=5_000)}
    assert found["taken.ndjson"].needed == found["young.ndjson"].needed == ""
    assert found["left.ndjson"].needed == NEVER_LANDED
    assert found["taken.ndjson"].born_ms == 1_000
    remove_files(folder, ["taken.ndjson", "taken.ndjson"])
    assert sorted(path.stem for path in folder.iterdir()) == ["left", "young"]
    assert landing_pieces(tmp_path / "none", log, older_than_ms=0) == []


@pytest.mark.parametrize("folder", [SHIPPED, ASIDE])
def test_a_segment_that_waits_for_the_table_is_needed(tmp_path, folder):
    (tmp_path / folder).mkdir()
    names = ["0a1b2c3d4e5f-0.sealed", "0a1b2c3d4e5f-1.sealed"]
    for name in [*names, "notes.sealed"]:
        (tmp_path / folder / name).write_bytes(b"12")
    found = {p.name: (p.bytes, p.needed) for p in segment_pieces(tmp_path, names[1:], folder)}
    assert found == {names[0]: (2, ""), names[1]: (2, WAITING)}


def test_a_retired_bundle_is_gone_and_its_papers_and_number_stay(tmp_path):
    for number in (1, 2):
        folder = tmp_path / str(number)
        (folder / "bundle").mkdir(parents=True)
        (folder / "bundle" / "manifest.json").write_text("{}")
        (folder / "signatures.json").write_text("{}")
    needed = {1: "", 2: "champion"}
    found = {p.name: p for p in bundle_pieces(tmp_path, lambda number: needed[number])}
    assert (found["1"].needed, found["2"].needed, found["1"].bytes) == ("", "champion", 2)
    (tmp_path / "2" / RETIRED).mkdir()  # left by a sweep that died
    remove_bundles(tmp_path, ["1"])
    remove_bundles(tmp_path, ["1"])
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*"))
    assert left == ["1/signatures.json", "2/bundle", "2/signatures.json"]


def dying_after(n_steps, work):
    """Do work in a child that kills itself before its n-th change of a folder; whether it did."""
    child = os.fork()
    if child == 0:
        left = n_steps

        def hook(event, _):
            nonlocal left
            if event in ("os.remove", "os.rename", "os.rmdir"):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("n_steps", range(10))
def test_a_sweep_killed_before_any_step_is_finished_by_the_next(tmp_path, log, n_steps):
    shelf = tmp_path / "shelf"
    for number in (1, 2, 3):
        (shelf / str(number) / "bundle").mkdir(parents=True)
        (shelf / str(number) / "bundle" / "manifest.json").write_text("{}")

    def sweep():
        remove_epochs(log.directory, ["1", "2"])
        remove_bundles(shelf, ["1", "2"])

    assert dying_after(n_steps, sweep)
    found = SourceLog(log.directory, "s")
    assert [record.offset for e in found.epochs() for record in found.records(e.epoch)]
    left = [name for name in ("1", "2") if (shelf / name / "bundle").exists()]
    remove_epochs(log.directory, [str(e.epoch) for e in found.epochs() if e.epoch < 3])
    remove_bundles(shelf, left)
    assert tree(log.directory) == [
        "0000000003.json",
        "0000000003.ndjson",
        "0000000004.json",
        "0000000004.ndjson",
        "0000000005.ndjson",
        "lock",
    ]
    assert tree(shelf) == ["1", "2", "3", "3/bundle", "3/bundle/manifest.json"]
