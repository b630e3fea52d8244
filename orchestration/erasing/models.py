"""What was made of a person's rows: releases trained on them, bundles that hold them."""

from pathlib import Path

from core.erasing.erasure import TrainedModel
from core.erasing.sought import Sought
from orchestration.settings import Settings
from stores.erasing.scanning import scan_tree
from stores.keys.signing import KeyRing
from stores.layout import Layout
from stores.shelf.bundle import read_manifest
from stores.shelf.channels import ChannelBoard
from stores.shelf.shelf import Shelf
from stores.sweeping import remove_bundles
from use_cases import discover


def trained_on(settings: Settings, sought: Sought) -> list[TrainedModel]:
    """Releases on the shelf whose training set holds somebody, with what is declared for them."""
    from deltalake import DeltaTable

    from stores.erasing.tables import count_in_table

    layout, declared = settings.layout, discover(settings.use_case_packages)
    shelf, served = Shelf(layout.shelf), served_releases(layout)
    found = []
    for name in sorted({*declared, *shelf.use_cases()}):
        uri = layout.training(name)
        if not DeltaTable.is_deltatable(uri):
            continue
        snapshots = count_in_table(uri, sought, "snapshot")
        for release in shelf.releases(name) if snapshots else ():
            snapshot = read_manifest(shelf.bundle(name, release)).snapshot_id
            if snapshot in snapshots:
                found.append(
                    TrainedModel(
                        use_case=name,
                        release=release,
                        snapshot=snapshot,
                        is_served=(name, release) in served,
                        flag=declared[name].after_erasure if name in declared else "retrain",
                    )
                )
    return found


def served_releases(layout: Layout) -> set[tuple[str, int]]:
    """Releases in a channel, and those that one may go back to."""
    channels = ChannelBoard(layout.shelf).latest(KeyRing.from_directory(layout.keys))
    return {
        (name, release)
        for name, state in channels.use_cases.items()
        for release in (*state.releases, *state.former_champions)
    }


def remove_bundles_of(layout: Layout, sought: Sought) -> dict[str, int]:
    """Take bundles that hold somebody off the shelf; one that serves is left, and found again.

    A bundle is signed as a whole, so nothing can be taken out of it.
    """
    served, n_removed = served_releases(layout), 0
    for folder in sorted((layout.shelf / "releases").glob("*/[1-9]*/bundle")):
        use_case, release = folder.parent.parent.name, int(folder.parent.name)
        if (use_case, release) not in served and scan_tree(folder, sought):
            remove_bundles(folder.parent.parent, [str(release)])
            n_removed += 1
    return {"bundles": n_removed}


def folders_besides(settings: Settings, given: list[Path]) -> list[Path]:
    """Folders besides the home that are cleaned too: those in the settings, and those given."""
    return list(dict.fromkeys([*settings.erasure.backups, *given]))
