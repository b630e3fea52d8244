"""Tiles: partial aggregates of a view, recomputed whole for every touched event date."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets import names
from assets.columns import tile_columns
from assets.partitions import EVENT_DATES, ONE_RUN
from assets.resources import CODE_VERSION, Launcher, Platform
from assets.results import Result, check, document
from assets.tables import facts_of
from core.contracts import Source
from core.features.plan import ViewPlan

FRESH = "tiles_are_fresh"
FRESH_MEANS = "The tiles were built from the newest version of the events table."


def tiles_asset(view: ViewPlan, source: Source, owners: list[str]) -> dg.AssetsDefinition:
    """Asset of a view's tiles."""
    key = names.tiles(view.name)

    @dg.asset(
        key=key,
        deps=[names.events(view.source)],
        description=(
            f"Partial aggregates of the view {view.name} over {view.source}.\n\n"
            "One row an entity, grid and tile start, by event date.\n\n"
            "Read by online base values and batch scores; training reads raw rows."
        ),
        group_name=names.FEATURES,
        owners=owners,
        kinds={"delta", "spark"},
        partitions_def=EVENT_DATES,
        backfill_policy=ONE_RUN,
        check_specs=[dg.AssetCheckSpec(FRESH, asset=key, description=FRESH_MEANS)],
        pool="spark",
    )
    def tiles(context: dg.AssetExecutionContext, launcher: Launcher, platform: Platform) -> Result:
        dates = sorted(context.partition_keys)
        report = launcher.launch(
            context, "tiles", **platform.told(), view=document(view), dates=dates
        )
        facts = facts_of(platform.layout.tiles(view.name))
        return Result(
            metadata=facts.metadata(tile_columns(view, source))
            | {"report": report, CODE_VERSION: platform.code_version},
            check_results=[fresh(report, facts_of(platform.layout.events(view.source)).version)],
        )

    return tiles


def fresh(report: Mapping[str, Any], events_version: int) -> dg.AssetCheckResult:
    """Whether the events table has stood still since the tiles read it."""
    read = int(report["events_version"])
    return check(FRESH, passed=read >= events_version, read=read, newest=events_version)
