"""The signed channels of former times, as the controller left them: one file a counter."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple

from stores.keys.signing import KeyRing
from stores.shelf.channels import Channels, SignedChannels, read_document
from stores.shelf.papers import signed_bytes


class SignedChampion(NamedTuple):
    """Champion by the signed channels, and their counter."""

    champion: int | None
    counter: int


def champion_at(shelf: Path, keys: KeyRing, use_case: str, at_ms: int) -> SignedChampion | None:
    """Champion of a use case at an instant; None where no channels had been written by then.

    Raises
    ------
    IntegrityError
        If the file of that time is not what a known controller key signed.
    """
    paths = sorted((shelf / "history").glob("[0-9]*.json"))
    place = bisect_right(paths, at_ms, key=_written_ms)
    if not place:
        return None
    channels = _read(paths[place - 1], keys)
    return SignedChampion(channels.state(use_case).champion, channels.counter)


def _written_ms(path: Path) -> int:
    return read_document(path, SignedChannels).channels.written_at_ms


def _read(path: Path, keys: KeyRing) -> Channels:
    signed = read_document(path, SignedChannels)
    keys.verify("channels", signed_bytes(signed.channels), signed.signature)
    return signed.channels
