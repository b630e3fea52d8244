"""The lineage of a home: declarations, releases on the shelf, tables, logs, in one graph."""

from typing import TYPE_CHECKING

from core.lineage import Lineage, Thing, declare, prediction_things
from stores.layout import Layout
from stores.lineage import put_made
from stores.shelf.channels import Channels
from stores.shelf.shelf import Shelf

if TYPE_CHECKING:
    from assets.declared import Declared


def lineage_of(layout: Layout, declared: "Declared", channels: Channels) -> Lineage:
    """Everything but predictions, of which there are too many; see `with_prediction`."""
    lineage = Lineage()
    for name, use_case in declared.use_cases.items():
        declare(lineage, use_case, declared.plans[name])
    made_by = Shelf(layout.shelf).use_cases()
    put_made(lineage, layout, channels, use_cases=made_by, sources=declared.sources)
    return lineage


def with_prediction(lineage: Lineage, layout: Layout, record_id: str) -> Thing:
    """The prediction of an id, put into the graph after its release.

    Raises
    ------
    NotReadyError
        If no record of it is found.
    """
    from stores.records.finding import found_record

    record = found_record(layout, record_id)
    model = record["model"]
    prediction_things(lineage, record_id, model["name"], model["release"])
    return Thing("prediction", record_id)
