"""Automation on an ephemeral instance: what is asked for when events of some dates change."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from assets import names
from assets.checks.expectations import GREAT_EXPECTATIONS
from orchestration.code_location import beta_is_known, code_location
from orchestration.ingest import LAST_EPOCH
from orchestration.settings import Settings

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TILES = names.tiles("card_activity_v1")
ONLINE = names.online("card_activity_v1")
TRANSACTIONS = names.events("transactions")


@pytest.fixture(scope="module")
def definitions(tmp_path_factory):
    return code_location(Settings(home=tmp_path_factory.mktemp("home"), environment="test"))


class World:
    """An instance and what automation has asked for so far, of all assets or of some."""

    def __init__(self, definitions, instance, *keys: dg.AssetKey) -> None:
        self.definitions = definitions
        self.instance = instance
        self.selection = dg.AssetSelection.assets(*keys) if keys else dg.AssetSelection.all()
        self.cursor: dg.AssetDaemonCursor | None = None

    def tick(self):
        with beta_is_known():
            result = dg.evaluate_automation_conditions(
                defs=self.definitions,
                instance=self.instance,
                asset_selection=self.selection,
                cursor=self.cursor,
                evaluation_time=NOW,
            )
        self.cursor = result.cursor
        return result

    def ingest(self, *dates: str, passed: bool = True) -> None:
        for date in dates:
            self.instance.report_runless_asset_event(
                dg.AssetMaterialization(TRANSACTIONS, partition=date)
            )
        self.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=TRANSACTIONS,
                check_name=GREAT_EXPECTATIONS,
                passed=passed,
                metadata={},
                blocking=True,
            )
        )

    def compute(self, *dates: str) -> None:
        for date in dates:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(TILES, partition=date))


@pytest.fixture
def whole_world(definitions):
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(definitions, instance)
        world.tick()
        yield world


@pytest.fixture
def world(definitions):
    """A world in which automation looks at what most tests are about."""
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(definitions, instance, TRANSACTIONS, TILES, ONLINE)
        world.tick()
        yield world


def test_nothing_is_asked_for_when_nothing_happened(whole_world):
    assert whole_world.tick().total_requested == 0


def test_every_touched_date_is_asked_for_old_ones_included(world):
    world.ingest("2026-11-21", "2026-10-05")
    assert world.tick().get_requested_partitions(TILES) == {"2026-11-21", "2026-10-05"}


def test_a_date_is_asked_for_once(world):
    world.ingest("2026-10-05")
    world.tick()
    world.compute("2026-10-05")
    assert world.tick().get_requested_partitions(TILES) == set()


def test_a_late_row_asks_for_its_date_again(world):
    world.ingest("2026-10-05")
    world.tick()
    world.compute("2026-10-05")
    world.tick()
    world.ingest("2026-10-05")
    assert world.tick().get_requested_partitions(TILES) == {"2026-10-05"}


def test_the_epoch_that_ingest_observes_last_asks_for_no_date(world):
    world.ingest("2026-10-05")
    world.tick()
    world.compute("2026-10-05")
    world.instance.report_runless_asset_event(
        dg.AssetObservation(TRANSACTIONS, metadata={LAST_EPOCH: 7})
    )
    assert world.tick().get_requested_partitions(TILES) == set()


def test_a_blocking_check_that_failed_holds_back_what_is_downstream(world):
    world.ingest("2026-10-05", passed=False)
    assert world.tick().get_requested_partitions(TILES) == set()


def test_online_values_are_asked_for_after_tiles_though_most_dates_have_none(world):
    world.ingest("2026-10-05")
    world.tick()
    world.compute("2026-10-05")
    assert world.tick().get_num_requested(ONLINE) == 1


def test_models_are_not_asked_for_by_themselves(whole_world):
    whole_world.ingest("2026-10-05")
    result = whole_world.tick()
    assert result.get_requested_partitions(TILES) == {"2026-10-05"}
    for key in (names.training("fraud"), names.scores("fraud")):
        assert result.get_num_requested(key) == 0


@pytest.fixture
def late_world(definitions):
    """A world that automation has not looked at yet."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(definitions, instance, TRANSACTIONS, TILES, ONLINE)


def test_dates_ingested_before_anybody_looked_are_asked_for(late_world):
    late_world.ingest("2026-10-05")
    assert late_world.tick().get_requested_partitions(TILES) == {"2026-10-05"}


def test_what_was_computed_before_anybody_looked_is_not_asked_for(late_world):
    late_world.ingest("2026-10-05")
    late_world.compute("2026-10-05")
    assert late_world.tick().get_requested_partitions(TILES) == set()
