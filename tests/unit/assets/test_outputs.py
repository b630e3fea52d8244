"""Silent failures of batches, over real tables: the job succeeded, the rows say otherwise."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake
from watched_world import NEWEST, USE_CASE, WatchedWorld

from assets.checks.outputs import output_results
from assets.resources import Platform
from stores.layout import Layout

COLUMN = "score"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return WatchedWorld(Layout(tmp_path_factory.mktemp("home")))


def test_a_sound_batch_passes_and_no_batch_is_no_fault(world, tmp_path):
    results = output_results(world.platform, USE_CASE)
    assert [(each.passed, each.description) for each in results] == [(True, None)] * 2
    n_rows = [each.metadata["rows"].value for each in results]
    assert n_rows[0] == n_rows[1] != 0
    nothing = Platform(home=str(tmp_path), online_url="", tracking_uri="")
    assert all(each.passed for each in output_results(nothing, USE_CASE))


def wrong(rows: pa.Table, how: str) -> pa.Table:
    if how == "half of it":
        return rows.slice(0, rows.num_rows // 2)
    if how == "twice":
        return pa.concat_tables([rows, rows.slice(0, 5)])
    scores = pa.array([0.25] * rows.num_rows)
    return rows.set_column(rows.column_names.index(COLUMN), COLUMN, scores)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("half of it", "expected have no row"),
        ("twice", "5 rows are about what another is about"),
        ("constant", "scores are 0.25"),
    ],
)
def test_a_batch_that_wrote_something_else_fails(world, how, said):
    uri = world.layout.scores("toy")
    table = DeltaTable(uri)
    rows = table.to_pyarrow_table()
    newest = rows.filter(pc.equal(rows["as_of"].cast(pa.string()), NEWEST))
    version = table.version()
    table.delete(f"as_of = '{NEWEST}'")
    write_deltalake(uri, wrong(newest, how), mode="append")
    result = output_results(world.platform, USE_CASE)[0]
    DeltaTable(uri).restore(version)
    assert not result.passed
    assert said in (result.description or "")
