"""Everything below a folder is cleaned in its own way, wherever it lies."""

import json

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from core.erasing.sought import Sought
from orchestration.erasing.tree import erase_below, erase_one
from stores.erasing.scanning import scan_tree
from stores.log.source_log import SourceLog

CARD = "card-7"
SOUGHT = Sought(CARD)


def test_tables_and_logs_are_found_at_any_depth_and_what_is_spared_stays(tmp_path):
    table = str(tmp_path / "old" / "lake" / "events")
    write_deltalake(table, pa.table({"card": [CARD, "card-71"]}))
    log = SourceLog(tmp_path / "old" / "home" / "log" / "payments", "payments")
    log.append([json.dumps({"card": CARD}).encode()], now_ms=1)
    spared = tmp_path / "signed"
    spared.mkdir()
    (spared / "paper.json").write_text(CARD)
    (tmp_path / "notes.txt").write_text(CARD)
    (tmp_path / "1795284418560-20f7e2aefd74.json").write_text("a request: no epoch of a log")
    (tmp_path / "link").symlink_to(spared / "paper.json")
    found = erase_below(tmp_path, SOUGHT, now_ms=2, spared=[spared])
    assert found == {"log_records": 1, "places_in_files": 1, "rows": 1}
    assert DeltaTable(table).to_pyarrow_table()["card"].to_pylist() == ["card-71"]
    assert {sighting.place for sighting in scan_tree(tmp_path, SOUGHT)} == {"signed/paper.json"}
    assert list(log.records(1)) == []


@pytest.mark.parametrize("name", ["gone.txt", "0a1b2c3d-1.open", "0a1b2c3d-1.sealed"])
def test_a_file_that_went_meanwhile_is_no_failure(tmp_path, name):
    assert erase_one(tmp_path / name, SOUGHT)[1] == 0
