import os
from pathlib import Path

import pytest

from core.clock import DAY_MS, FixedClock
from core.errors import DependencyError
from serving.errors import NotFoundError
from serving.records.logs import RecordLogs
from serving.records.shipping import SWEEP_EVERY_MS, Shipper
from serving.settings import RecordSettings
from stores.layout import Layout
from stores.records.segments import SegmentedRecordLog, records_of
from stores.records.shared import FolderSegments, open_segments


class World:
    """Records of one machine, and shared storage that can be made to fail."""

    def __init__(self, tmp_path):
        self.layout = Layout(tmp_path / "home", lake=str(tmp_path / "shared"))
        self.clock = FixedClock(1_767_225_600_000)
        self.told = []
        self.is_down = False
        self.puts = []
        self.shipper = self.new_shipper()

    def new_shipper(self):
        return Shipper(
            self.layout, self.clock, self.told.append, keep_ms=7 * DAY_MS, opened=self.opened
        )

    def opened(self, uri):
        world = self

        class Store(FolderSegments):
            def put_file(self, path):
                if world.is_down:
                    raise DependencyError("storage is down")
                world.puts.append(path.name)
                super().put_file(path)

        return Store(Path(uri))

    def sealed(self, payloads, use_case="toy"):
        log = SegmentedRecordLog(self.layout.records(use_case), use_case, self.clock)
        ids = log.append_many(payloads)
        log.close()
        return ids

    def shared(self, use_case="toy"):
        store = open_segments(self.layout.segments(use_case))
        contents = [store.read(segment.name) for segment in store.waiting()]
        return [payload for content in contents for _, payload in records_of(content)]

    def records(self):
        return RecordLogs(self.layout, self.clock, RecordSettings())


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_sealed_segments_of_every_use_case_reach_shared_storage(world):
    world.sealed([b"a", b"b"])
    world.sealed([b"c"], use_case="other")
    assert world.shipper.ship() == 2
    assert (world.shared(), world.shared("other")) == ([b"a", b"b"], [b"c"])
    assert world.shipper.ship() == 0
    assert len(world.puts) == 2


def test_what_is_being_written_is_not_shipped(world):
    log = SegmentedRecordLog(world.layout.records("toy"), "toy", world.clock)
    record_id = log.append(b"still open")
    assert world.shipper.ship() == 0
    assert world.records().read(record_id) == b"still open"
    log.close()
    assert world.shipper.ship() == 1


def test_a_record_is_found_before_and_after_shipping_and_from_another_machine(world, tmp_path):
    (record_id,) = world.sealed([b"payload"])
    assert world.records().read(record_id) == b"payload"
    world.shipper.ship()
    assert world.records().read(record_id) == b"payload"
    elsewhere = Layout(tmp_path / "elsewhere", lake=world.layout.lake)
    assert RecordLogs(elsewhere, world.clock, RecordSettings()).read(record_id) == b"payload"
    for wrong in (record_id[:-1] + "9", "toy-000000000000-0-0", "nonsense"):
        with pytest.raises(NotFoundError):
            RecordLogs(elsewhere, world.clock, RecordSettings()).read(wrong)


def test_a_crash_between_the_two_steps_ships_again_to_the_same_effect(world):
    world.sealed([b"a"])
    world.shipper.ship()
    (path,) = world.layout.records("toy").glob("shipped/*.sealed")
    path.rename(path.parent.parent / path.name)
    assert world.new_shipper().ship() == 1
    assert world.shared() == [b"a"]


def test_storage_that_is_down_keeps_segments_here_and_is_told_once(world):
    world.sealed([b"a"])
    world.is_down = True
    assert [world.shipper.ship() for _ in range(3)] == [0, 0, 0]
    assert len(world.told) == 1
    assert "storage is down" in world.told[0]
    world.sealed([b"b"])
    world.is_down = False
    assert world.shipper.ship() == 2
    assert sorted(world.shared()) == [b"a", b"b"]
    assert world.told[1:] == ["records go to shared storage again"]


def test_a_fault_of_this_machine_s_disk_ends_no_shipping_either(world):
    world.sealed([b"a"])
    (world.layout.records("toy") / "shipped").write_text("in the way")
    assert world.shipper.ship() == 0
    assert len(world.told) == 1
    (world.layout.records("toy") / "shipped").unlink()
    assert world.shipper.ship() == 1
    assert world.shared() == [b"a"]


def test_one_process_ships_while_others_pass(world):
    from serving.records.shipping import _only_one

    world.sealed([b"a"])
    with _only_one(world.layout.records("toy")) as is_ours:
        assert is_ours
        assert world.new_shipper().ship() == 0
    assert world.new_shipper().ship() == 1


def test_shipped_segments_leave_this_machine_when_their_time_has_come(world):
    world.sealed([b"old"])
    world.sealed([b"young"])
    world.shipper.ship()
    old, young = sorted(world.layout.records("toy").glob("shipped/*.sealed"))
    now_s = world.clock.now_ms() / 1_000
    os.utime(old, (now_s - 7 * 86_400, now_s - 7 * 86_400))
    os.utime(young, (now_s, now_s))
    world.clock.advance(SWEEP_EVERY_MS)
    world.shipper.ship()
    assert not old.exists()
    assert young.exists()
    assert sorted(world.shared()) == [b"old", b"young"]


def test_a_record_that_has_left_for_the_table_is_not_here_and_where_it_is_is_said(world):
    (record_id,) = world.sealed([b"payload"])
    world.shipper.ship()
    for path in world.layout.records("toy").glob("shipped/*.sealed"):
        path.unlink()
    store = open_segments(world.layout.segments("toy"))
    for segment in store.waiting():
        store.remove(segment.name)
    with pytest.raises(NotFoundError, match=r"in the table: throughline replay ID --from-tables"):
        world.records().read(record_id)
