"""The asset of prediction records with its checks, over a world that was really served."""

import copy
import json
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from served_world import MASK, ServedWorld
from training_sets import small_use_case

from assets import names
from assets.checks import parity as parity_check
from assets.checks.parity import PARITY, parity_failure, records_to_compare
from assets.predictions import WHOLE, predictions_asset
from assets.releases import judged
from assets.resources import Launcher, Platform
from core.clock import event_date
from core.use_case import ModelSpec
from stores.keys.signing import KeyRing
from stores.layout import Layout
from stores.masking import KEY_FILE
from stores.shelf.shelf import Shelf

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

MODEL = ModelSpec(metric="auc", floor=0.5)  # the toy release has 0.9
USE_CASE = small_use_case().model_copy(update={"name": "toy", "model": MODEL})
N_POINTS = 1_000


class ReportingLauncher(Launcher):
    """Says of the job what it is told to say."""

    report: str

    def launch(self, context: Any, job: str, **arguments: Any) -> dict[str, Any]:
        assert (job, arguments["use_case"]) == ("predictions", "toy")
        found: dict[str, Any] = json.loads(self.report)
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = ServedWorld(Layout(tmp_path_factory.mktemp("home")).create(), N_POINTS)
    key = world.layout.keys / KEY_FILE
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    return world


@pytest.fixture
def platform(world):
    return Platform(home=str(world.layout.root), online_url="sqlite:///none", tracking_uri="none")


def write_predictions(layout, records):
    dates = [date.fromisoformat(event_date(r["at_ms"])) for r in records.values()]
    table = pa.table(
        {
            "prediction_id": list(records),
            "record": [json.dumps(record) for record in records.values()],
            "event_date": pa.array(dates, pa.date32()),
        }
    )
    uri = layout.predictions("toy")
    write_deltalake(uri, table, partition_by=["event_date"], mode="overwrite")


def materialised(platform, instance, *, damaged=(), version=0):
    report = {
        "use_case": "toy",
        "segments": 1,
        "rows": N_POINTS,
        "touched": {"2026-01-01": N_POINTS},
        "damaged": damaged,
        "waiting": 0,
        "version": version,
    }
    launcher = ReportingLauncher(report=json.dumps(report))
    resources = {"platform": platform, "launcher": launcher}
    result = dg.materialize(
        [predictions_asset(USE_CASE)], resources=resources, instance=instance, raise_on_error=False
    )
    return result, {e.check_name: e for e in result.get_asset_check_evaluations()}


def with_a_unit_error(records):
    """One feature of one row in a thousand in another unit."""
    changed = copy.deepcopy(records)
    present = [
        r for r in changed.values() if r["features"]["card_activity_v1"]["status"] == "PRESENT"
    ]
    present[len(present) // 2]["features"]["card_activity_v1"]["values"][
        "amount_minor_mean_30d"
    ] /= 100
    return changed


def test_what_was_served_right_passes_and_is_described(world, platform):
    write_predictions(world.layout, world.records)
    with dg.DagsterInstance.ephemeral() as instance:
        result, checks = materialised(platform, instance)
        assert result.success
        assert parity_failure(instance, "toy") == ""
    assert checks[PARITY].passed
    assert checks[PARITY].metadata["records"].value == N_POINTS
    assert checks[PARITY].metadata["values"].value == N_POINTS * 14
    assert checks[WHOLE].passed
    (made,) = result.asset_materializations_for_node("predictions__toy")
    assert made.metadata["rows_taken"].value == N_POINTS
    columns = {column.name for column in made.metadata["dagster/column_schema"].schema.columns}
    assert {"prediction_id", "record", "event_date"} <= columns


def test_a_unit_error_in_one_row_of_a_thousand_fails_and_stops_the_next_release(world, platform):
    write_predictions(world.layout, with_a_unit_error(world.records))
    with dg.DagsterInstance.ephemeral() as instance:
        result, checks = materialised(platform, instance)
        why = parity_failure(instance, "toy")
    assert not result.success
    assert not checks[PARITY].passed
    assert checks[PARITY].blocking
    assert checks[PARITY].severity == dg.AssetCheckSeverity.ERROR
    assert "1 of features card_activity_v1:amount_minor_mean_30d" in why
    # No other release serves, so that the rows it was trained on have nothing to tell.
    write_deltalake(world.layout.training("toy"), pa.table({"snapshot": ["snapshot"], "n": [1]}))
    verdict = judged(platform, USE_CASE, 1, why)
    assert not verdict.is_better
    assert "the last parity check failed" in verdict.because
    shelf, keys = Shelf(world.layout.shelf), KeyRing.from_directory(world.layout.keys)
    statement = shelf.verdict("toy", 1, keys)
    assert statement is not None
    assert not statement.is_passed


def test_a_check_that_passes_again_lets_releases_through_again(world, platform):
    with dg.DagsterInstance.ephemeral() as instance:
        write_predictions(world.layout, with_a_unit_error(world.records))
        materialised(platform, instance)
        assert parity_failure(instance, "toy")
        write_predictions(world.layout, world.records)
        materialised(platform, instance)
        assert parity_failure(instance, "toy") == ""


def test_a_use_case_that_never_served_stops_nothing(platform):
    with dg.DagsterInstance.ephemeral() as instance:
        assert parity_failure(instance, "toy") == ""
        assert parity_failure(instance, "other") == ""


def test_nothing_shipped_is_no_table_and_no_fault(tmp_path):
    platform = Platform(home=str(tmp_path), online_url="sqlite:///none", tracking_uri="none")
    with dg.DagsterInstance.ephemeral() as instance:
        result, checks = materialised(platform, instance, version=-1)
    assert result.success
    assert checks[PARITY].description == "nothing was served yet"


def test_damaged_segments_are_named_by_a_check_that_stops_nothing(world, platform):
    write_predictions(world.layout, world.records)
    with dg.DagsterInstance.ephemeral() as instance:
        result, checks = materialised(platform, instance, damaged=("0a0a0a0a0a0a-3.sealed",))
    assert result.success
    assert not checks[WHOLE].passed
    assert "0a0a0a0a0a0a-3.sealed" in checks[WHOLE].description


def test_of_too_many_records_some_are_drawn_the_same_ones_each_time(world, platform, monkeypatch):
    write_predictions(world.layout, world.records)
    monkeypatch.setattr(parity_check, "MAX_RECORDS", 100)
    first, of = records_to_compare(platform, "toy", [])
    again, _ = records_to_compare(platform, "toy", [])
    assert (len(first), of) == (100, N_POINTS)
    assert first == again


def test_keys_and_masks_are_those_of_the_home(world):
    assert names.predictions("toy").path == ["predictions", "toy"]
    assert Path(world.layout.keys / KEY_FILE).read_bytes() == bytes(32)
    record = next(iter(world.records.values()))
    assert record["entities"]["card_id"] in {MASK.of(f"c{n}") for n in range(50)}
