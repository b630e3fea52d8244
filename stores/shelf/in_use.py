"""Releases that somebody may be answered by: in a channel now, or one command away from it."""

from __future__ import annotations

from collections.abc import Iterator

from core.contracts import Source
from core.errors import PlatformError
from core.interface import Interface
from stores.keys.signing import KeyRing
from stores.layout import Layout
from stores.shelf.bundle import Manifest, read_manifest
from stores.shelf.channels import ChannelBoard, Channels, ChannelState
from stores.shelf.shelf import Shelf


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


def interfaces_served(shelf: Shelf, use_case: str, state: ChannelState) -> tuple[Interface, ...]:
    """What callers are answered by now; without what cannot be read, which answers nobody."""
    return tuple(manifest.interface for manifest in _answering(shelf, use_case, state))


def sources_served(shelf: Shelf, channels: Channels) -> tuple[Source, ...]:
    """Sources that senders' rows are taken by now, of all use cases; a name may come again."""
    return tuple(
        source
        for use_case, state in channels.use_cases.items()
        for manifest in _answering(shelf, use_case, state)
        for source in manifest.contract.sources
    )


def _answering(shelf: Shelf, use_case: str, state: ChannelState) -> Iterator[Manifest]:
    for release in (state.champion, *(kept.release for kept in state.older)):
        if release is None:
            continue
        try:
            yield read_manifest(shelf.bundle(use_case, release))
        except PlatformError:  # it is to be replaced: no reason to refuse who comes instead
            continue
