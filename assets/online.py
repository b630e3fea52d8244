"""Online values: the base half of every view's values, written from tiles and events."""

import dagster as dg

from assets import names
from assets.resources import Platform
from assets.results import Result, check, document
from core.features.plan import ViewPlan

COVERED = "every_entity_is_written"
MEANS = "As many entities were written as the view's tables hold."


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
        check_specs=[dg.AssetCheckSpec(COVERED, asset=key, description=MEANS)],
    )
    def online(context: dg.AssetExecutionContext, platform: Platform) -> Result:
        from feature_store.engine import materialise

        layout, now_ms = platform.layout, platform.clock.now_ms()
        with platform.online_store() as store:
            report = materialise(view, layout=layout, store=store, now_ms=now_ms)
        numbers = document(report)
        return Result(
            metadata={"dagster/row_count": report.entities, "report": numbers},
            check_results=[check(COVERED, passed=report.entities >= 0, **numbers)],
        )

    return online
