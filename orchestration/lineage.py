"""The lineage of a home: declarations, releases on the shelf, tables, logs, in one graph."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from assets.events import WRITER
from assets.tables import writer_number
from core.errors import NotReadyError
from core.lineage import (
    Lineage,
    Made,
    Thing,
    declare,
    epoch_things,
    prediction_things,
    release_things,
    table_things,
)
from orchestration.mirror import wanted
from stores.bundle import Manifest, read_manifest
from stores.channels import Channels
from stores.layout import Layout
from stores.log import SourceLog
from stores.shelf import Shelf

if TYPE_CHECKING:
    from assets.declared import Declared


def lineage_of(layout: Layout, declared: "Declared", channels: Channels) -> Lineage:
    """Everything but predictions, of which there are too many; see `with_prediction`."""
    lineage = Lineage()
    for name, use_case in declared.use_cases.items():
        declare(lineage, use_case, declared.plans[name])
    held = {source: _epochs(layout, source) for source in declared.sources}
    for source, epochs in held.items():
        epoch_things(lineage, source, epochs)
    shelf = Shelf(layout.shelf)
    for use_case_name in shelf.use_cases():
        serving = wanted(channels, use_case_name)
        for release in shelf.releases(use_case_name):
            try:
                manifest = read_manifest(shelf.bundle(use_case_name, release))
            except NotReadyError:  # its bundle's time was over
                continue
            release_things(
                lineage, _made(manifest), [name for name, n in serving.items() if n == release]
            )
            for source, version in manifest.read_versions.items():
                _add_table(lineage, layout, source, version, held.get(source, {}))
    return lineage


def with_prediction(lineage: Lineage, layout: Layout, record_id: str) -> Thing:
    """The prediction of an id, put into the graph after its release.

    Raises
    ------
    NotReadyError
        If no record of it is found.
    """
    from feature_store.record_finding import found_record

    record = found_record(layout, record_id)
    model = record["model"]
    prediction_things(lineage, record_id, model["name"], model["release"])
    return Thing("prediction", record_id)


def _made(manifest: Manifest) -> Made:
    return Made(
        use_case=manifest.use_case,
        release=manifest.release,
        plan=manifest.plan,
        decisions=manifest.decisions,
        snapshot=manifest.snapshot_id,
        run=manifest.mlflow_run_id,
        read_versions=manifest.read_versions,
    )


def _epochs(layout: Layout, source: str) -> dict[int, list[str]]:
    directory = layout.log_dir(source)
    if not directory.is_dir():
        return {}
    found = SourceLog(directory, source).epochs()
    return {e.epoch: [f"log/{source}/{file}" for file in e.files] for e in found}


def _add_table(
    lineage: Lineage, layout: Layout, source: str, version: int, epochs: Mapping[int, object]
) -> None:
    """Which epochs a version of a table holds; none where history is no longer that old."""
    from deltalake.exceptions import DeltaError

    try:
        last = writer_number(layout.events(source), WRITER, version=version)
    except DeltaError:
        return
    table_things(lineage, source, version, [number for number in epochs if number <= last])
