"""When things run by themselves: conditions, applied to assets by what they are.

Tiles are requested for every event date whose events changed, old ones included: ``eager()``
alone looks at the latest date only. Online values are asked for when any tile changed; the
dates before the first event never had tiles, so missing dependencies do not hold them back.
Training and release have no condition: a person, or the schedule of retraining, asks.
"""

from collections.abc import Iterable

import dagster as dg

from assets import names

CHECKED = dg.AutomationCondition.all_deps_blocking_checks_passed()


def touched_dates() -> dg.AutomationCondition:
    """Every partition with a dependency that changed, unless a blocking check failed there."""
    latest = dg.AutomationCondition.in_latest_time_window()
    condition = dg.AutomationCondition.eager().without(latest) & CHECKED
    return condition.with_label("touched dates")


def any_change() -> dg.AutomationCondition:
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
