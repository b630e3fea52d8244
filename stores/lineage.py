"""What was made in a home, as lineage: releases on the shelf, the tables and logs they learnt from.

Declarations are not read: a release keeps the features and rules it was built with.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from core.errors import NotReadyError
from core.lineage import Lineage, Made, epoch_things, release_things, table_things
from stores.layout import Layout
from stores.log.source_log import SourceLog
from stores.shelf.bundle import Manifest, read_manifest
from stores.shelf.channels import Channels
from stores.shelf.shelf import Shelf

INGEST = "ingest"
"""Under this name a table of events says with each commit up to which epoch it holds."""


def put_made(
    lineage: Lineage,
    layout: Layout,
    channels: Channels,
    *,
    use_cases: Iterable[str],
    sources: Iterable[str] = (),
) -> None:
    """Put down the releases of use cases, and the logs of ``sources`` and of all they read."""
    manifests = [each for name in use_cases for each in _manifests(Shelf(layout.shelf), name)]
    read = {source for manifest in manifests for source in manifest.read_versions}
    held = {source: _epochs(layout, source) for source in sorted({*sources, *read})}
    for source, epochs in held.items():
        epoch_things(lineage, source, epochs)
    for manifest in manifests:
        release_things(lineage, _made(manifest), _channels(channels, manifest))
        for source, version in manifest.read_versions.items():
            last = _last_epoch(layout.events(source), version)
            if last is not None:
                table_things(lineage, source, version, (n for n in held[source] if n <= last))


def _manifests(shelf: Shelf, use_case: str) -> Iterable[Manifest]:
    for release in shelf.releases(use_case):
        try:
            yield read_manifest(shelf.bundle(use_case, release))
        except NotReadyError:  # its bundle's time was over
            continue


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


def _channels(channels: Channels, manifest: Manifest) -> list[str]:
    serving = channels.state(manifest.use_case).by_channel
    return [name for name, release in serving.items() if release == manifest.release]


def _epochs(layout: Layout, source: str) -> dict[int, list[str]]:
    directory = layout.log_dir(source)
    if not directory.is_dir():
        return {}
    found = SourceLog(directory, source).epochs()
    return {e.epoch: [f"log/{source}/{file}" for file in e.files] for e in found}


@lru_cache(maxsize=4_096)
def _last_epoch(uri: str, version: int) -> int | None:
    """Up to which epoch a version of a table holds; None where history is no longer that old."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        return int(DeltaTable(uri, version=version).transaction_version(INGEST) or 0)
    except DeltaError:
        return None
