"""When things run by themselves: conditions, applied to assets by what they are.

Tiles are requested for every event date whose events changed, old ones included: ``eager()``
alone looks at the latest date only. Online values are asked for when any tile changed; the
dates before the first event never had tiles, so missing dependencies do not hold them back.
Training and release have no condition: a person, or the schedule of retraining, asks.
"""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from assets import names

Condition = dg.AutomationCondition[Any]

CHECKED = dg.AutomationCondition.all_deps_blocking_checks_passed()


def touched_dates() -> Condition:
    """Every partition with a dependency that changed, unless a blocking check failed there.

    What was there before automation first looked counts as no change; such a date is asked
    for because it was never computed. One whose run failed waits for a person, or for its
    events to change again.
    """
    latest = dg.AutomationCondition.in_latest_time_window()
    changed = dg.AutomationCondition.eager().without(latest)
    condition = (changed | never_computed()) & CHECKED
    return condition.with_label("touched dates")


def never_computed() -> Condition:
    """A partition that is not there though all it is made of is."""
    automation = dg.AutomationCondition
    is_waiting = automation.in_progress() | automation.any_deps_in_progress()
    is_possible = ~automation.any_deps_missing() & ~is_waiting & ~automation.execution_failed()
    condition = automation.missing() & is_possible
    return condition.with_label("never computed")


def any_change() -> Condition:
    """The whole asset, when any partition of a dependency changed."""
    missing = ~dg.AutomationCondition.any_deps_missing()
    condition = dg.AutomationCondition.eager().without(missing)
    return condition.with_label("any change")


CONDITIONS = {names.FEATURES: touched_dates, names.ONLINE: any_change}


def automated(assets: Iterable[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """Assets with the condition of their group, where the group has one."""
    return [asset.map_asset_specs(_with_condition) for asset in assets]


def _with_condition(spec: dg.AssetSpec) -> dg.AssetSpec:
    condition = CONDITIONS.get(spec.group_name or "")
    return spec.replace_attributes(automation_condition=condition()) if condition else spec


def automation_sensor() -> dg.AutomationConditionSensorDefinition:
    """The sensor that evaluates the conditions; Dagster's own would start switched off."""
    return dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
    )
