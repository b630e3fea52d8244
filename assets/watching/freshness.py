"""How old the newest row of every table of a use case is."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import dagster as dg

from assets import names
from assets.resources import Platform
from assets.results import Result, check
from assets.tables import is_table, partition_facts
from core.clock import DAY_MS, HOUR_MS, date_start_ms
from core.features.plan import Plan
from core.use_case import UseCase

FRESH = "every_table_is_fresh"
MEANS = (
    "No table has been without a new row for longer than was declared, or than it paused before."
)
FEWEST_DATES = 5
LATEST_DATES = 60
PAUSES = 2
"""Of the longest pause so far, so many may pass: once may be left out of what comes weekly."""


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
            metadata={
                "hours": {key: age.hours for key, age in ages.items()},
                "dagster/row_count": len(ages),
            },
            check_results=[fresh(ages)],
        )

    return freshness


@dataclass(frozen=True)
class Age:
    """Hours since the newest row of a table, and how many there may be; None: nobody knows yet."""

    hours: float
    limit_hours: float | None

    @property
    def is_old(self) -> bool:
        """Whether the table stands still."""
        return self.limit_hours is not None and self.hours > self.limit_hours


def ages_of(platform: Platform, use_case: UseCase) -> dict[str, Age]:
    """Age of each table; tables that were never written are left out."""
    layout, now_ms = platform.layout, platform.clock.now_ms()
    tables = {
        names.events(s.name).to_user_string(): (layout.events(s.name), "available_at")
        for s in use_case.sources
    }
    served = names.predictions(use_case.name).to_user_string()
    tables[served] = (layout.predictions(use_case.name), "received_at")
    found = {}
    for key, (uri, column) in tables.items():
        at_ms = newest_ms(uri, column)
        if at_ms is None:
            continue
        dates = [facts.value for facts in partition_facts(uri, "event_date") if facts.rows]
        limit = limit_hours(dates, use_case.watching.fresh_hours)
        found[key] = Age(round((now_ms - at_ms) / HOUR_MS, 1), limit)
    return found


def limit_hours(dates: Sequence[str], fresh_hours: float) -> float | None:
    """How old a table may be: the declared hours, and twice as long as it paused.

    A source of what changes seldom has no row on most days. Nothing is known of fewer than five
    dates, nor of pauses longer than the one that lasts.

    Examples
    --------
    >>> limit_hours(["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-05", "2026-01-06"], 26)
    74
    """
    if len(dates) < FEWEST_DATES:
        return None
    days = [date_start_ms(date) // DAY_MS for date in sorted(dates)[-LATEST_DATES:]]
    longest = max(later - earlier for earlier, later in pairwise(days))
    return fresh_hours + 24 * PAUSES * (longest - 1)


def newest_ms(uri: str, column: str) -> int | None:
    """Greatest instant of a column, from the table's own statistics; None without any row.

    Only files that say nothing of it are read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from stores.tables import dataset_of, open_table

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


def fresh(ages: dict[str, Age]) -> dg.AssetCheckResult:
    """Whether no table stands still."""
    old = {key: age for key, age in ages.items() if age.is_old}
    why = "; ".join(
        f"{key} has nothing of the last {age.hours:,.0f} h, and may pause for "
        f"{age.limit_hours:,.0f} h at most"
        for key, age in old.items()
    )
    return check(
        FRESH, passed=not old, why=why, hours={key: age.hours for key, age in ages.items()},
        limits={key: age.limit_hours for key, age in ages.items()}, cause=next(iter(old), ""),
    )  # fmt: skip
