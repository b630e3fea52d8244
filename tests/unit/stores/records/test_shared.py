"""One contract for all stores of segments: a folder, and an object store's own client."""

import errno
import os
import subprocess
import sys

import pytest

from core.clock import FixedClock
from core.errors import ConfigurationError, DependencyError, IntegrityError, NotReadyError
from stores.records.ids import parse_record_id, parse_segment_name
from stores.records.segments import SegmentedRecordLog, record_in, records_of
from stores.records.shared import FolderSegments, ObjectSegments, open_segments

NAME = "0a1b2c3d4e5f-0.sealed"
OTHER = "0a1b2c3d4e5f-1.sealed"


@pytest.fixture(params=["folder", "objects"])
def store(request, tmp_path):
    if request.param == "folder":
        return open_segments(str(tmp_path / "segments"))
    (tmp_path / "segments").mkdir()
    return ObjectSegments.at(f"file://{tmp_path}/segments")


def test_a_segment_is_read_as_it_was_put(store):
    store.put(NAME, b"\x00content")
    assert store.read(NAME) == b"\x00content"


def test_putting_twice_is_putting_once(store):
    store.put(NAME, b"content")
    store.put(NAME, b"content")
    assert [segment.name for segment in store.waiting()] == [NAME]


def sealed(folder, content):
    folder.mkdir(exist_ok=True)
    path = folder / NAME
    path.write_bytes(content)
    return path


def test_a_file_is_kept_under_its_name_as_often_as_it_is_put(store, tmp_path):
    path = sealed(tmp_path / "here", b"\x00content")
    for _ in range(2):
        store.put_file(path)
    assert [segment.name for segment in store.waiting()] == [NAME]
    store.remove(NAME)
    assert path.read_bytes() == b"\x00content"


def test_what_is_put_anew_leaves_the_file_here_alone_and_the_other_way_round(store, tmp_path):
    path = sealed(tmp_path / "here", b"content")
    store.put_file(path)
    store.put(NAME, b"written anew")
    assert path.read_bytes() == b"content"
    store.put_file(path)
    assert store.read(NAME) == b"content"


def test_a_file_on_a_disk_that_knows_no_links_is_copied(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refused)
    store = FolderSegments(tmp_path / "segments")
    path = sealed(tmp_path / "here", b"content")
    store.put_file(path)
    assert store.read(NAME) == b"content"
    assert not (tmp_path / "segments" / NAME).samefile(path)


def test_a_list_has_names_in_order_sizes_and_times_and_no_other_file(store, tmp_path):
    assert store.waiting() == []
    for name in (OTHER, NAME):
        store.put(name, b"12345")
    (tmp_path / "segments" / "notes.txt").write_text("x")
    (tmp_path / "segments" / f".{NAME}.7.tmp").write_text("half")
    listed = store.waiting()
    assert [segment.name for segment in listed] == [NAME, OTHER]
    assert {segment.bytes for segment in listed} == {5}
    assert all(segment.put_at_ms > 1_700_000_000_000 for segment in listed)


def test_what_is_removed_is_gone_and_removing_it_again_is_no_fault(store):
    store.put(NAME, b"x")
    store.remove(NAME)
    store.remove(NAME)
    assert store.waiting() == []
    with pytest.raises(NotReadyError):
        store.read(NAME)


def test_what_is_set_aside_is_kept_and_listed_apart(store):
    assert store.aside() == []
    for name in (OTHER, NAME):
        store.put(name, b"damaged")
        store.set_aside(name)
    assert store.waiting() == []
    assert store.aside() == [NAME, OTHER]
    store.put(NAME, b"whole")
    assert [segment.name for segment in store.waiting()] == [NAME]
    assert store.aside() == [NAME, OTHER]


def test_storage_that_fails_is_a_dependency_that_fails(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = FolderSegments(tmp_path / "file" / "segments")
    with pytest.raises(DependencyError) as failed:
        store.put(NAME, b"x")
    assert failed.value.code == "segments_unreachable"


class NoBucket:
    """An object store whose bucket is not there, as its client says it."""

    def put(self, name, content):
        raise FileNotFoundError("Object at location x not found: NoSuchBucket")

    list = copy = put


@pytest.mark.parametrize(
    "verb", [lambda s: s.put(NAME, b"x"), lambda s: s.set_aside(NAME)], ids=["put", "set aside"]
)
def test_a_bucket_that_is_not_there_is_a_dependency_that_fails(verb):
    with pytest.raises(DependencyError):
        verb(ObjectSegments(NoBucket()))  # type: ignore[arg-type]


def test_a_store_that_nobody_knows_is_refused():
    with pytest.raises(ConfigurationError) as refused:
        open_segments("ftp://host/lake")
    assert refused.value.code == "bad_lake"


def test_a_folder_needs_no_client_of_object_stores(tmp_path):
    code = (
        "import sys; from stores.records.shared import open_segments; "
        f"open_segments({str(tmp_path)!r}).waiting(); sys.exit('obstore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "name", ["", "x.sealed", "0a1b2c3d-0.open", "../0a1b2c3d-0.sealed", "0a1b2c3d-.sealed"]
)
def test_other_names_are_no_segments(name):
    assert parse_segment_name(name) is None


def test_records_of_a_segment_are_found_by_their_offsets(tmp_path):
    log = SegmentedRecordLog(tmp_path, "toy", FixedClock(0))
    ids = log.append_many([b"one", b"two", b"three"])
    log.close()
    (path,) = tmp_path.glob("*.sealed")
    content = path.read_bytes()
    assert records_of(b"") == []
    assert [payload for _, payload in records_of(content)] == [b"one", b"two", b"three"]
    assert record_in(content, parse_record_id(ids[2]).offset) == b"three"
    for cut in range(1, len(content)):
        if content[:cut] not in (content[:11], content[:22]):
            with pytest.raises(IntegrityError) as damaged:
                records_of(content[:cut])
            assert damaged.value.code == "damaged_segment"
