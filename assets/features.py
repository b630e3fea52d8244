"""Tiles: partial aggregates of a view, recomputed whole for every touched event date."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets import names
from assets.checks.expectations import (
    GREAT_EXPECTATIONS,
    tile_columns_read,
    tile_expectations,
)
from assets.columns import tile_columns
from assets.partitions import EVENT_DATES, ONE_RUN
from assets.resources import CODE_VERSION, Launcher, Platform
from assets.results import Result, check, document
from assets.tables import facts_of, read_columns
from core.contracts import Source
from core.features.plan import ViewPlan

FRESH = "tiles_are_fresh"
MOST_LOOKED_AT = 200_000
"""Tiles; a second's work. What builds them wrongly builds all of them so."""
SOUND_MEANS = (
    "Tiles of the newest date asked for stand on their grids, once each, hold their newest row, "
    "count nothing below zero, and their least values are not above their greatest."
)
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
        check_specs=[
            dg.AssetCheckSpec(FRESH, asset=key, description=FRESH_MEANS),
            dg.AssetCheckSpec(GREAT_EXPECTATIONS, asset=key, description=SOUND_MEANS),
        ],
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
            check_results=[
                fresh(report, facts_of(platform.layout.events(view.source)).version),
                sound(platform, view, dates[-1]),
            ],
        )

    return tiles


def sound(platform: Platform, view: ViewPlan, date: str) -> dg.AssetCheckResult:
    """Expectations on the tiles of a date, up to `MOST_LOOKED_AT`."""
    uri, columns = platform.layout.tiles(view.name), tile_columns_read(view)
    rows = read_columns(uri, list(dict.fromkeys(columns)), within=("event_date", [date]))
    return tile_expectations(view, rows.slice(0, MOST_LOOKED_AT))


def fresh(report: Mapping[str, Any], events_version: int) -> dg.AssetCheckResult:
    """Whether the events table has stood still since the tiles read it."""
    read = int(report["events_version"])
    return check(FRESH, passed=read >= events_version, read=read, newest=events_version)
