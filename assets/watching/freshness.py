"""How old the newest row of every table of a use case is."""

from typing import Any

import dagster as dg

from assets import names
from assets.resources import Platform
from assets.results import Result, check
from assets.tables import is_table
from core.clock import HOUR_MS
from core.features.plan import Plan
from core.use_case import UseCase

FRESH = "every_table_is_fresh"
MEANS = "Every table that was ever written has a row of the declared last hours."


def freshness_asset(use_case: UseCase, plan: Plan) -> dg.AssetsDefinition:
    """Asset of a use case's freshness."""
    name, key = use_case.name, names.freshness(use_case.name)

    @dg.asset(
        key=key,
        deps=[*(names.events(s.name) for s in use_case.sources), names.predictions(name)],
        description=(
            f"How old the newest row of every table of {name} is.\n\n"
            "One look an hour, by when a row could have been known.\n\n"
            "Read by whoever is alerted: a source that stands still makes no error anywhere."
        ),
        group_name=names.WATCHING,
        owners=list(use_case.owners),
        kinds={"delta"},
        check_specs=[dg.AssetCheckSpec(FRESH, asset=key, description=MEANS)],
    )
    def freshness(context: dg.AssetExecutionContext, platform: Platform) -> Result:
        ages = ages_of(platform, use_case)
        return Result(
            metadata={"hours": ages, "dagster/row_count": len(ages)},
            check_results=[fresh(ages, use_case.watching.fresh_hours)],
        )

    return freshness


def ages_of(platform: Platform, use_case: UseCase) -> dict[str, float]:
    """Hours since the newest row of each table; tables that were never written are left out."""
    layout, now_ms = platform.layout, platform.clock.now_ms()
    tables = {
        names.events(s.name).to_user_string(): (layout.events(s.name), "available_at")
        for s in use_case.sources
    }
    served = names.predictions(use_case.name).to_user_string()
    tables[served] = (layout.predictions(use_case.name), "received_at")
    newest = {key: newest_ms(uri, column) for key, (uri, column) in tables.items()}
    return {
        key: round((now_ms - at_ms) / HOUR_MS, 1)
        for key, at_ms in newest.items()
        if at_ms is not None
    }


def newest_ms(uri: str, column: str) -> int | None:
    """Greatest instant of a column, from the table's own statistics; None without any row.

    Only files that say nothing of it are read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from feature_store.tables import dataset_of, open_table

    if not is_table(uri):
        return None
    table = open_table(uri)
    facts: Any = pa.table(table.get_add_actions(flatten=True))
    name = f"max.{column}"
    held = facts[name] if name in facts.column_names else None
    if held is None or held.null_count:
        held = dataset_of(table).to_table(columns=[column])[column]
    newest = pc.max(held).as_py()
    return None if newest is None else round(newest.timestamp() * 1_000)


def fresh(ages: dict[str, float], limit: float) -> dg.AssetCheckResult:
    """Whether every table is young enough."""
    old = {key: hours for key, hours in ages.items() if hours > limit}
    why = "; ".join(f"{key} has nothing of the last {hours:,.0f} h" for key, hours in old.items())
    return check(FRESH, passed=not old, why=why, hours=ages, limit=limit, cause=next(iter(old), ""))
