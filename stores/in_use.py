"""Releases that somebody may be answered by: in a channel now, or one command away from it."""

from __future__ import annotations

from stores.bundle import Manifest, read_manifest
from stores.channels import ChannelBoard
from stores.layout import Layout
from stores.shelf import Shelf
from stores.signing import KeyRing


def manifests_in_use(layout: Layout) -> tuple[Manifest, ...]:
    """Manifests of all releases in a channel, and of former champions that are still there.

    Raises
    ------
    IntegrityError
        If the channels are not what the controller signed, or a manifest cannot be read.
    """
    shelf = Shelf(layout.shelf)
    channels = ChannelBoard(layout.shelf).latest(KeyRing.from_directory(layout.keys))
    found = []
    for use_case, state in channels.use_cases.items():
        there = set(shelf.releases(use_case))
        for release in sorted({*state.releases, *state.former_champions} & there):
            found.append(read_manifest(shelf.bundle(use_case, release)))
    return tuple(found)
