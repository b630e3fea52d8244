import errno
import fcntl
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import FixedClock
from core.errors import DependencyError, IntegrityError, InvalidInputError, NotReadyError
from stores.records.ids import parse_record_id
from stores.records.segments import (
    MAX_PAYLOAD_BYTES,
    SegmentedRecordLog,
    read_record,
    records_of,
    scan,
    seal_abandoned,
)

ROOT = Path(__file__).parents[4]


@pytest.fixture
def clock():
    return FixedClock(1_000_000)


@pytest.fixture
def log(tmp_path, clock):
    opened = SegmentedRecordLog(tmp_path / "records", "toy", clock, segment_bytes=1_000)
    yield opened
    opened.close()


def test_a_record_is_found_by_its_id(log):
    ids = [log.append(f"record {n}".encode()) for n in range(5)]
    assert [log.read(record_id) for record_id in ids] == [f"record {n}".encode() for n in range(5)]


def test_an_id_says_where_the_record_stands(log):
    log.append(b"first")
    where = parse_record_id(log.append(b"second"))
    assert (where.use_case, where.segment, where.offset) == ("toy", 0, 8 + len(b"first"))
    assert parse_record_id(str(where)) == where


def test_many_are_kept_by_one_write(log):
    ids = log.append_many([b"a", b"bb", b"ccc"])
    assert [log.read(record_id) for record_id in ids] == [b"a", b"bb", b"ccc"]


def test_a_full_segment_is_sealed_and_still_read(log, tmp_path):
    ids = [log.append(bytes([65 + n]) * 400) for n in range(7)]
    assert {parse_record_id(record_id).segment for record_id in ids} == {0, 1, 2}
    assert not list((tmp_path / "records").glob("*.sealed"))  # an append waits for no disk
    assert [log.read(record_id)[0] for record_id in ids] == [65 + n for n in range(7)]
    log.tick()
    assert len(list((tmp_path / "records").glob("*.sealed"))) == 2
    assert [log.read(record_id)[0] for record_id in ids] == [65 + n for n in range(7)]


def test_an_old_segment_is_sealed_though_nothing_more_comes(log, tmp_path, clock):
    record_id = log.append(b"alone")
    log.tick()
    assert not list((tmp_path / "records").glob("*.sealed"))
    clock.advance(10_000)
    log.tick()
    assert len(list((tmp_path / "records").glob("*.sealed"))) == 1
    assert log.read(record_id) == b"alone"


def test_what_cannot_be_sealed_now_is_sealed_later_while_appends_go_on(log, tmp_path, monkeypatch):
    def full_disk(_descriptor):
        raise OSError(errno.ENOSPC, "full")

    ids = [log.append(b"a" * 600), log.append(b"b" * 600)]
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match="full"):
            log.tick()
    ids.append(log.append(b"c"))
    log.tick()
    assert len(list((tmp_path / "records").glob("*.sealed"))) == 1
    assert [log.read(record_id)[:1] for record_id in ids] == [b"a", b"b", b"c"]


def test_two_writers_never_share_a_segment(tmp_path, clock):
    one = SegmentedRecordLog(tmp_path, "toy", clock)
    two = SegmentedRecordLog(tmp_path, "toy", clock)
    first, second = one.append(b"one"), two.append(b"two")
    assert one.read(second) == b"two"
    assert two.read(first) == b"one"
    one.close()
    two.close()


@pytest.mark.parametrize(
    "record_id",
    [
        "",
        "toy",
        "toy-00000000-0-0",
        "../x-00000000-0-0",
        "toy-00000000-0-999999999999",
        "toy-0000000g-0-0",
        "other-00000000-0-0",
        "toy-00000000--1-0",
        "toy-00000000-0-0\n",
        "toy-" + "0" * 10_000,
        "toy-00000000-\u0660-0",
    ],
)
def test_an_id_of_nothing_is_unknown(log, record_id):
    log.append(b"x")
    with pytest.raises(NotReadyError) as unknown:
        log.read(record_id)
    assert unknown.value.code == "unknown_record"


def test_no_offset_inside_a_record_is_one(log, tmp_path):
    # What a caller can put into a record: text, which JSON keeps free of zero bytes.
    payload = b'{"input":"' + b"\x01\x02\x7f~ \xc3\xa9\xff" * 30 + b'"}'
    where = parse_record_id(log.append(payload))
    log.append(b"x" * (len(payload) << 8))  # as long as a length says that is read a byte late
    for offset in range(1, 8 + len(payload)):
        with pytest.raises(NotReadyError) as unknown:
            log.read(str(where._replace(offset=offset)))
        assert unknown.value.code == "unknown_record"


def test_a_record_has_one_id(log):
    log.append(b"first")
    where = parse_record_id(log.append(b"second"))
    for spelt in (f"{where.segment:02}-{where.offset}", f"{where.segment}-0{where.offset}"):
        with pytest.raises(NotReadyError):
            log.read(f"toy-{where.writer}-{spelt}")


def test_a_damaged_record_is_told_apart_from_an_unknown_one(log, tmp_path):
    record_id = log.append(b"payload")
    (path,) = (tmp_path / "records").iterdir()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError) as damaged:
        log.read(record_id)
    assert damaged.value.code == "damaged_record"


@settings(max_examples=examples(60), deadline=None)
@given(
    payloads=st.lists(st.binary(min_size=1, max_size=40).filter(bytes.strip), max_size=8),
    cut=st.integers(0, 400),
)
def test_a_torn_tail_is_ignored_wherever_it_tears(tmp_path_factory, payloads, cut):
    directory = tmp_path_factory.mktemp("torn")
    log = SegmentedRecordLog(directory, "toy", FixedClock(0))
    log.append_many([b"first", *payloads])
    log.close()
    (written,) = directory.iterdir()
    path = directory / "00000000-0.open"  # of a writer that is dead
    path.write_bytes(written.read_bytes()[:cut])
    written.unlink()
    whole, end = [], 0
    for payload in (b"first", *payloads):
        end += 8 + len(payload)
        if end <= cut:
            whole.append(payload)
    assert [payload for _, payload in scan(path)] == whole
    sealed = seal_abandoned(directory)
    assert [p for path in sealed for _, p in scan(path)] == whole


def test_a_record_that_cannot_be_written_whole_leaves_nothing(log, tmp_path, monkeypatch):
    log.append(b"kept")
    real_write = os.write

    def short_write(descriptor, data):
        return real_write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", short_write)
    with pytest.raises(DependencyError) as refused:
        log.append(b"lost by a full disk")
    assert refused.value.code == "record_not_kept"
    monkeypatch.undo()
    record_id = log.append(b"after")
    assert log.read(record_id) == b"after"
    (path,) = (tmp_path / "records").iterdir()
    assert [payload for _, payload in scan(path)] == [b"kept", b"after"]


def refusing(code):
    def refuse(*_arguments, **_named):
        raise OSError(code, "refused")

    return refuse


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EROFS])
def test_a_segment_that_cannot_be_begun_keeps_no_record_and_says_why(log, monkeypatch, code):
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refusing(code))
        with pytest.raises(DependencyError, match=os.strerror(code)) as refused:
            log.append(b"lost")
    assert refused.value.code == "record_not_kept"
    assert log.read(log.append(b"after")) == b"after"


def test_a_segment_that_cannot_be_locked_is_not_written_to(log, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", refusing(errno.ENOLCK))
        with pytest.raises(DependencyError, match=os.strerror(errno.ENOLCK)):
            log.append(b"lost")
    assert log.read(log.append(b"after")) == b"after"


def test_a_torn_frame_that_cannot_be_cut_is_cut_when_its_segment_is_sealed(
    log, tmp_path, monkeypatch
):
    kept = log.append(b"kept")
    real_write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: real_write(descriptor, data[:5]))
        patched.setattr(os, "ftruncate", refusing(errno.EIO))
        with pytest.raises(DependencyError):
            log.append(b"lost")
    after = log.append(b"after")
    assert parse_record_id(after).segment == 1
    log.close()
    assert (log.read(kept), log.read(after)) == (b"kept", b"after")
    first, second = sorted((tmp_path / "records").glob("*.sealed"))
    assert [records_of(path.read_bytes()) for path in (first, second)] == [
        [(0, b"kept")],
        [(0, b"after")],
    ]


@pytest.mark.parametrize("is_before_lock", [True, False])
def test_who_seals_for_the_dead_takes_no_segment_of_one_who_begins(
    tmp_path, clock, monkeypatch, is_before_lock
):
    """Between a file and its lock another process may look for what dead writers left."""
    log = SegmentedRecordLog(tmp_path, "toy", clock)
    locked, held = fcntl.flock, []

    def overtaken(descriptor, operation):
        monkeypatch.setattr(fcntl, "flock", locked)
        if is_before_lock:
            assert len(seal_abandoned(tmp_path)) == 1
        else:  # it has the lock still, and has not yet given the file its other name
            held.append((tmp_path / f"{log._writer}-0.open").open("r+"))
            locked(held[0], fcntl.LOCK_EX)
        return locked(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", overtaken)
    record_id = log.append(b"kept")
    assert parse_record_id(record_id).segment == 1
    for each in held:
        each.close()
    log.close()
    assert read_record(tmp_path, record_id) == b"kept"


def test_a_segment_whose_file_is_gone_holds_up_no_other(log, tmp_path):
    log.append(b"a" * 1_000)
    (gone,) = (tmp_path / "records").glob("*.open")
    after = [log.append(b"b" * 1_000), log.append(b"c")]
    gone.unlink()
    log.close()
    assert [log.read(record_id)[:1] for record_id in after] == [b"b", b"c"]
    assert not list((tmp_path / "records").glob("*.open"))


@pytest.mark.parametrize("payload", [b"", b"x" * (MAX_PAYLOAD_BYTES + 1)])
def test_a_record_of_impossible_size_is_refused(log, payload):
    with pytest.raises(InvalidInputError):
        log.append(payload)


def test_threads_do_not_mix_their_records(tmp_path, clock):
    log = SegmentedRecordLog(tmp_path, "toy", clock, segment_bytes=5_000)
    kept = {}

    def write(name):
        for n in range(200):
            payload = f"{name}:{n}".encode() * 3
            kept[log.append(payload)] = payload

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert len(kept) == 800
    assert all(read_record(tmp_path, record_id) == payload for record_id, payload in kept.items())


def test_what_was_told_survives_kill_9(tmp_path):
    # The child tells each id after its append; then it is killed while it goes on writing.
    child = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from core.clock import SystemClock
        from stores.records.segments import SegmentedRecordLog
        log = SegmentedRecordLog(Path(sys.argv[1]), "toy", SystemClock(), segment_bytes=20_000)
        n = 0
        while True:
            record_id = log.append(b"record %d" % n)
            sys.stdout.write(f"{record_id} {n}\\n")
            n += 1
        """
    )
    command = [sys.executable, "-c", child, str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    told = process.stdout.read(60_000)
    process.kill()
    told += process.stdout.read()
    process.wait()
    process.stdout.close()
    lines = told.decode().splitlines(keepends=True)
    whole = [line.split() for line in lines if line.endswith("\n")]
    assert len(whole) > 1_000
    for record_id, n in whole:
        assert read_record(tmp_path, record_id) == f"record {n}".encode()
    seal_abandoned(tmp_path)
    assert not list(tmp_path.glob("*.open"))
    assert read_record(tmp_path, whole[-1][0]) == f"record {whole[-1][1]}".encode()


def test_a_living_writer_s_segment_is_left_alone(tmp_path, clock):
    log = SegmentedRecordLog(tmp_path, "toy", clock)
    log.append(b"x")
    assert seal_abandoned(tmp_path) == ()
    log.close()
    assert len(list(tmp_path.glob("*.sealed"))) == 1
