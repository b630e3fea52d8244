"""`throughline replay --from-tables`: without a service, from wherever the record is."""

import json
from argparse import Namespace
from datetime import date
from io import StringIO

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from served_world import ServedWorld

from core.clock import FixedClock
from core.errors import NotReadyError
from orchestration.commands import replay
from orchestration.settings import Settings
from orchestration.shell import Shell
from stores.layout import Layout
from stores.masking import KEY_FILE
from stores.records.ids import parse_record_id
from stores.records.segments import SegmentedRecordLog
from stores.records.shared import open_segments


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = ServedWorld(Layout(tmp_path_factory.mktemp("home")).create(), 200)
    key = world.layout.keys / KEY_FILE
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    return world


def present(world):
    return next(
        r
        for r in world.records.values()
        if r["features"]["card_activity_v1"]["status"] == "PRESENT"
        and r["features"]["card_state_v1"]["status"] == "stale"
    )


def kept(world, record):
    """Id of a record that was written to this machine."""
    log = SegmentedRecordLog(world.layout.records("toy"), "toy", FixedClock(0))
    record_id = log.append(json.dumps(record).encode())
    log.close()
    return record_id


def replayed(world, record_id):
    out = StringIO()
    shell = Shell(Settings(home=world.layout.root, environment="test"), {}, out=out)
    code = replay.run(Namespace(id=record_id, from_tables=True), shell)
    return code, out.getvalue()


def test_what_was_served_right_is_equal(world):
    code, said = replayed(world, kept(world, present(world)))
    assert code == 0
    assert said.startswith("equal: 14 values compared")


def test_a_difference_is_named_with_both_values(world):
    record = json.loads(json.dumps(present(world)))
    record["features"]["card_state_v1"]["values"]["limit_minor"] = 7_000.0
    code, said = replayed(world, kept(world, record))
    assert code == 1
    assert "NOT EQUAL" in said
    assert "features card_state_v1:limit_minor: served 7000.0, the tables say null" in said


def test_what_the_tables_lack_is_unreplayable_and_not_unequal(world):
    record = json.loads(json.dumps(present(world)))
    record["features"]["card_activity_v1"]["seen_position"] = 99 << 32
    code, said = replayed(world, kept(world, record))
    assert code == 3
    assert "unreplayable in part" in said
    assert "does not yet hold all that the read had seen" in said


def test_a_record_is_found_in_shared_storage_and_in_the_table(world):
    record = present(world)
    record_id = kept(world, record)
    where = parse_record_id(record_id)
    path = world.layout.records("toy") / where.segment_name
    open_segments(world.layout.segments("toy")).put(path.name, path.read_bytes())
    path.unlink()
    assert replayed(world, record_id)[0] == 0
    open_segments(world.layout.segments("toy")).remove(path.name)
    with pytest.raises(NotReadyError, match="no such prediction record"):
        replayed(world, record_id)
    row = {
        "prediction_id": [record_id, "toy-000000000000-0-0"],
        "writer": [where.writer, "000000000000"],
        "segment": [where.segment, 0],
        "record": [json.dumps(record), "{}"],
        "event_date": pa.array([date(2026, 1, 1)] * 2, pa.date32()),
    }
    write_deltalake(world.layout.predictions("toy"), pa.table(row), partition_by=["event_date"])
    assert replayed(world, record_id)[0] == 0
    with pytest.raises(NotReadyError, match="no such prediction record"):
        replayed(world, "toy-111111111111-0-0")


@pytest.mark.parametrize("record_id", ["", "nonsense", "toy-../../x-0-0"])
def test_an_id_of_nothing_is_unknown(world, record_id):
    with pytest.raises(NotReadyError, match="no such prediction record"):
        replayed(world, record_id)
