"""Contracts that a new major followed, as the controller sees them."""

from __future__ import annotations

from core.audit.records import LONGEST_WHY, Entry
from stores.shelf.channels import Channels, ChannelState, KeptContract


def over(state: ChannelState, now_ms: int) -> list[KeptContract]:
    """Older contracts that a release stands for still, though their time is over."""
    return [k for k in state.older if k.release is not None and k.until_ms <= now_ms]


def contract_entries(
    use_case: str, before: ChannelState, changed: Channels, who: str, why: str
) -> list[Entry]:
    """What the audit says of older contracts: who answers their callers, that the time is over."""
    were = {kept.major: kept.release for kept in before.older}
    return [
        Entry(
            at_ms=changed.written_at_ms,
            what="contract_ended" if kept.release is None else "contract_kept",
            who=who,
            why=why[:LONGEST_WHY],
            about={
                "use_case": use_case,
                "contract": kept.major,
                "release": kept.release or were.get(kept.major),
                "until_ms": kept.until_ms,
                "counter": changed.counter,
            },
        )
        for kept in changed.state(use_case).older
        if kept not in before.older
    ]
