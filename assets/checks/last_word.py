"""What a check said last: a run that is under way, or died, has only planned to ask it."""

import dagster as dg

LOOK_BACK = 20


def last_word(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey
) -> dg.AssetCheckEvaluation | None:
    """Newest evaluation of a check; None when it never said anything."""
    record = instance.get_latest_asset_check_evaluation_record(key)
    if record is None or isinstance(record.evaluation, dg.AssetCheckEvaluation):
        return record.evaluation if record else None
    history = instance.event_log_storage.get_asset_check_execution_history(key, limit=LOOK_BACK)
    said = (each.evaluation for each in history)
    return next((each for each in said if isinstance(each, dg.AssetCheckEvaluation)), None)
