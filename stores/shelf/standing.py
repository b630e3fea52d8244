"""Where a release stands, in words: for lists that people read."""

from __future__ import annotations

from core.clock import event_date
from stores.keys.signing import KeyRing
from stores.shelf.archives import archived
from stores.shelf.channels import ChannelState
from stores.shelf.shelf import Shelf


def where_it_is(shelf: Shelf, use_case: str, release: int, state: ChannelState) -> str:
    """The channel that a release is in, or why it is in none."""
    if release == state.champion:
        return "champion"
    if release == state.challenger:
        return f"challenger, {state.challenger_weight:.0%}"
    if release == state.shadow:
        return "shadow"
    for kept in state.older:
        if release == kept.release:
            return f"contract {kept.major} until {event_date(kept.until_ms)}"
    paper = archived(shelf, use_case, release)
    if paper is not None:
        return f"archived: {paper.because}"
    return "champion before" if release in state.former_champions else "on the shelf"


def judged(shelf: Shelf, use_case: str, release: int, keys: KeyRing) -> str:
    """What the declared rule said of a release, in a word or two.

    Raises
    ------
    IntegrityError
        If what is written of it was changed.
    """
    verdict = shelf.verdict(use_case, release, keys)
    return "not judged" if verdict is None else "passed" if verdict.is_passed else "refused"
