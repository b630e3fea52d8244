from __future__ import annotations

import random
import signal
import stat
import subprocess
import sys
import time

import pytest
from audit_damage import DAMAGES, Home, entry, torn

from core.errors import IntegrityError, InvalidInputError
from stores.audit.log import AuditLog
from stores.keys.signing import KeyRing, ensure_signer
from stores.layout import Layout

QUICKLY, ALL = 60, 1_000
APPENDS_FOR_EVER = """
import sys
from pathlib import Path
from core.audit.records import Entry
from stores.audit.log import AuditLog
from stores.layout import Layout
log = AuditLog.of(Layout(Path(sys.argv[1])), is_signing=True)
n = 0
while True:
    n += 1
    log.append([Entry(at_ms=n, what="promoted", who="ann", about={"n": n, "x": "x" * 500})] * 3)
    print(n, flush=True)
"""


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path).filled(1, 30)


@pytest.fixture
def sibling(tmp_path):
    """A home with the same keys, the same first records, and others from the 18th on."""
    ensure_signer(tmp_path / "keys", "audit")
    other = Home(tmp_path / "sibling")
    (tmp_path / "sibling").mkdir()
    (tmp_path / "sibling" / "keys").symlink_to(tmp_path / "keys")
    return other.filled(1, 17).filled(18, 33, what="rolled_back")


def test_what_was_put_down_is_read_back_in_order(home):
    records = home.log().latest(100)
    assert [record.n for record in records] == list(range(1, 31))
    assert records[2].about == entry(3).about
    assert [r.n for r in home.log().latest(2, lambda r: r.n % 10 == 0)] == [20, 30]
    assert home.log().latest(9, hints=['"what":"revoked"']) == []
    assert [r.n for r in home.log().latest(2, before=12)] == [10, 11]


def test_a_whole_log_is_found_whole_and_all_of_it_signed(home):
    found = home.log().verify(home.ring)
    assert found.is_whole
    assert (found.n_records, found.n_signed, found.torn_bytes) == (30, 30, 0)
    assert len([name for name in home.files() if name[0].isdigit()]) >= 4


def test_a_log_that_was_never_written_is_whole_and_empty(tmp_path):
    found = Home(tmp_path).log().verify(KeyRing([]))
    assert (found.is_whole, found.n_records) == (True, 0)


def test_the_files_are_for_their_owner_alone(home):
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(path.stat().st_mode) for path in home.folder.glob("*.json*")}
    assert modes == {0o600}


def test_who_holds_no_private_key_appends_and_the_controller_signs_it(tmp_path):
    home = Home(tmp_path)
    home.log(is_signing=False).append([entry(1)])
    assert not (tmp_path / "keys").exists()
    assert home.log(is_signing=False).sign(5) is False
    assert home.log().sign(5) is True
    assert home.log().sign(6) is False
    assert home.log().verify(home.ring).n_signed == 1


def damage(home, sibling, number):
    """One of the thousand: what was done, and the files after it."""
    rng = random.Random(number)
    whole, theirs = home.files(), sibling.files()
    damaging = DAMAGES[number % len(DAMAGES)]
    files = whole
    while files == whole:
        files = damaging(rng, whole, theirs)
    return damaging.__name__, files


def missed(home, sibling, numbers):
    """Mutations that verification took for the log that was written."""
    whole, found = home.files(), []
    for number in numbers:
        name, files = damage(home, sibling, number)
        home.restore(files)
        if not home.faults():
            found.append((number, name))
        home.restore(whole)
    return found


def test_changed_logs_are_found(home, sibling):
    assert missed(home, sibling, range(QUICKLY)) == []


@pytest.mark.slow
def test_a_thousand_of_a_thousand_changed_logs_are_found(home, sibling):
    assert missed(home, sibling, range(ALL)) == []


def false_alarms(home, numbers):
    """Crashes that verification took for a changed log, or after which nothing went on."""
    found = []
    for number in numbers:
        rng = random.Random(number)
        before = home.files()
        n_before = home.log().latest(1)[0].n
        log = home.log(is_signing=rng.random() < 0.5)
        log.append([entry(number + k) for k in range(rng.randrange(1, 4))])
        home.restore(torn(rng, before, home.files()))
        told = home.log().verify(home.ring)
        if told.faults or told.n_records < n_before:
            found.append((number, told))
        home.log().append([entry(number)])
        after = home.log().verify(home.ring)
        if after.faults or after.torn_bytes or after.n_records <= told.n_records:
            found.append((number, after))
        is_said = "log_repaired" in {r.what for r in home.log().latest(2)}
        if is_said != (told.torn_bytes > 0):
            found.append((number, "not said"))
        if number % 8 == 7:  # a fresh log, so that each is quickly read
            home.restore({})
            home.filled(1, 6)
    return found


def test_tails_torn_by_a_crash_are_no_alarm_and_are_cut_off(home):
    assert false_alarms(home, range(QUICKLY)) == []


@pytest.mark.slow
def test_a_thousand_tails_torn_by_a_crash_are_no_alarm(home):
    assert false_alarms(home, range(ALL)) == []


@pytest.mark.slow
def test_a_process_killed_while_it_appends_leaves_a_log_that_goes_on(tmp_path):
    layout = Layout(tmp_path).create()
    log = AuditLog.of(layout, is_signing=True)
    for number in range(8):
        command = [sys.executable, "-c", APPENDS_FOR_EVER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(0.003 * number)
            child.send_signal(signal.SIGKILL)
            n_said = 1 + len(child.stdout.read().splitlines())
        found = log.verify(KeyRing.from_directory(layout.keys))
        assert found.is_whole, found
        assert found.n_records >= 3 * n_said
    log.append([entry(1)])
    assert log.verify(KeyRing.from_directory(layout.keys)).torn_bytes == 0


@pytest.mark.slow
def test_processes_that_append_at_once_make_one_chain(tmp_path):
    layout = Layout(tmp_path).create()
    command = [sys.executable, "-c", APPENDS_FOR_EVER, str(tmp_path)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for child in children:
        assert child.stdout is not None
        for _ in range(3):
            child.stdout.readline()
        child.kill()
        child.communicate()
    found = AuditLog.of(layout, is_signing=True).verify(KeyRing.from_directory(layout.keys))
    assert found.is_whole, found
    assert found.n_records >= 18


def test_the_first_bad_place_is_named(home):
    files = home.files()
    name = sorted(files)[1]
    lines = files[name].splitlines(keepends=True)
    lines[1] = lines[1].replace(b"because", b"Because")
    home.restore({**files, name: b"".join(lines)})
    (fault,) = home.faults()
    n = int(name[:12]) + 1
    why = f"the seal of record {n} was not made by this home over what it says"
    assert fault == f"{name}, line 2: {why}"


def test_a_log_taken_back_whole_is_told_by_a_checkpoint_kept_elsewhere(tmp_path):
    home = Home(tmp_path).filled(1, 9)
    earlier = home.files()
    home.filled(10, 15)
    kept = home.log().last_checkpoint()
    assert kept is not None
    home.restore(earlier)
    assert home.faults() == []
    found = home.log().verify(home.ring, kept=[kept])
    assert [str(fault) for fault in found.faults] == [
        "records: it ends with record 9, and 15 were written"
    ]


def test_another_history_is_told_by_a_checkpoint_kept_elsewhere(home, sibling):
    kept = home.log().last_checkpoint()
    assert sibling.log().verify(home.ring).is_whole
    found = sibling.log().verify(home.ring, kept=[kept])
    assert "record 30 is another than the one" in str(found.faults[0])


def test_a_kept_checkpoint_that_nobody_signed_is_refused(home):
    kept = home.log().last_checkpoint()
    changed = kept.model_copy(update={"checkpoint": kept.checkpoint.model_copy(update={"n": 1})})
    with pytest.raises(IntegrityError):
        home.log().verify(home.ring, kept=[changed])


@pytest.mark.parametrize("spoil", ["head.json", "checkpoints.jsonl", "last", "forged", "cut"])
def test_to_a_changed_log_nothing_is_added(home, spoil):
    files = home.files()
    last = max(name for name in files if name[0].isdigit())
    if spoil in files:
        files.pop(spoil)
    elif spoil == "last":
        files.pop(last)
    elif spoil == "forged":
        files[last] += files[last].splitlines(keepends=True)[-1].replace(b'"n":30', b'"n":31')
    else:
        files[last] = files[last][:-10]
    home.restore(files)
    with pytest.raises(IntegrityError, match="nothing is added") as refused:
        home.log().append([entry(31)])
    assert refused.value.code == "audit_changed"
    assert home.files() == files


def test_a_changed_log_is_set_aside_and_the_next_one_begins_with_saying_so(home):
    files = home.files()
    home.restore({name: content for name, content in files.items() if name != "head.json"})
    aside = home.log().set_aside(who="ann", why="a disk was lost", at_ms=77)
    assert {path.name for path in aside.iterdir()} == files.keys() - {"head.json"}
    assert home.log().verify(home.ring).is_whole
    (record,) = home.log().latest(5)
    assert (record.n, record.what, record.who) == (1, "log_set_aside", "ann")
    assert record.about["sha256"].keys() == files.keys() - {"head.json"}


def test_an_entry_that_is_too_long_is_refused_and_the_log_goes_on(home):
    with pytest.raises(InvalidInputError, match="too long for the audit log"):
        home.log().append([entry(1).model_copy(update={"about": {"x": "x" * (1 << 20)}})])
    home.log().append([entry(31)])
    assert home.log().verify(home.ring).n_records == 31
