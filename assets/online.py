"""Online values: the base half of every view's values, written from tiles and events."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from assets import names
from assets.columns import ONLINE
from assets.events import WRITER
from assets.resources import Platform
from assets.results import Result, check, document
from assets.tables import table_schema, writer_number
from core.features.plan import ViewPlan

if TYPE_CHECKING:
    from feature_store.engine import Materialised

CURRENT = "values_are_current"
MEANS = "Values stand for every epoch that the events table holds, and there are some."


class OnlineConfig(dg.Config):
    """For which present the values are written."""

    at_ms: int = 0
    """Epoch milliseconds; points from five minutes before it on can be answered. 0 is now."""


def online_asset(view: ViewPlan, owners: list[str]) -> dg.AssetsDefinition:
    """Asset of a view's base values in the online store."""
    key = names.online(view.name)
    dep = names.tiles(view.name) if view.windows else names.events(view.source)

    @dg.asset(
        key=key,
        deps=[dep],
        description=(
            f"Base values of the view {view.name}: everything up to an epoch of its log.\n\n"
            "One value an entity, written anew whole; the folder writes what is younger.\n\n"
            "Read by the service at every prediction."
        ),
        group_name=names.ONLINE,
        owners=owners,
        kinds={"python"},
        check_specs=[dg.AssetCheckSpec(CURRENT, asset=key, description=MEANS)],
    )
    def online(
        context: dg.AssetExecutionContext, config: OnlineConfig, platform: Platform
    ) -> Result:
        from feature_store.engine import materialise

        layout, now_ms = platform.layout, config.at_ms or platform.clock.now_ms()
        with platform.online_store() as store:
            report = materialise(view, layout=layout, store=store, now_ms=now_ms)
        newest = writer_number(layout.events(view.source), WRITER)
        is_current = report.epoch >= newest and report.n_entities > 0
        return Result(
            metadata=shown(report, platform),
            check_results=[
                check(CURRENT, passed=is_current, epoch=report.epoch, newest_epoch=newest)
            ],
        )

    return online


def shown(report: "Materialised", platform: Platform) -> dict[str, Any]:
    """What the UI shows of one run: counts, versions read, size, where."""
    columns = [("key", "bytes"), ("value", "bytes")]
    return {
        "dagster/row_count": report.n_entities,
        "dagster/column_schema": table_schema(columns, ONLINE),
        "delta_version": report.events_version
        if report.tiles_version is None
        else report.tiles_version,
        "path": platform.online_url.rpartition("@")[2],
        "report": document(report),
    }
