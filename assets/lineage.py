"""What one asset left for the next: metadata of its last materialisation."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from core.errors import NotReadyError


def last_metadata(context: dg.AssetExecutionContext, key: dg.AssetKey) -> Mapping[str, Any]:
    """Metadata of the newest materialisation of an asset, as plain values.

    Raises
    ------
    NotReadyError
        If it was never materialised.
    """
    event = context.instance.get_latest_materialization_event(key)
    if event is None or event.asset_materialization is None:
        raise NotReadyError(
            f"{key.to_user_string()} does not exist yet", remedy="materialise it first"
        )
    found = event.asset_materialization.metadata
    return {name: getattr(value, "value", value) for name, value in found.items()}
