"""Event tables as Dagster knows them: written by ingest, one partition an event date.

Ingest takes whole epochs of a source's log, whatever dates their rows have, so no run of it
belongs to a partition. It reports a materialisation for every event date that it touched,
late ones included, and what is downstream is requested for those dates.
"""

import dagster as dg

from assets import names
from assets.columns import event_columns
from assets.partitions import EVENT_DATES
from assets.tables import table_schema
from core.contracts import Source
from stores.lineage import INGEST

WRITER = INGEST


def events_spec(source: Source) -> dg.AssetSpec:
    """Asset of a source's accepted rows."""
    grain = "One row an event that the contract accepted, by event date."
    readers = "Read by tiles and training sets; what was refused is in the rejected table."
    return dg.AssetSpec(
        key=names.events(source.name),
        description=f"{source.description}\n\n{grain}\n\n{readers}",
        group_name=names.EVENTS,
        owners=[source.owner],
        kinds={"delta", "spark"},
        partitions_def=EVENT_DATES,
        metadata={
            "contract": table_schema(
                [(field.name, field.type) for field in source.fields], event_columns(source)
            ),
            "retention_days": source.retention_days,
        },
    )
