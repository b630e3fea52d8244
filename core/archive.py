"""Which releases are stale, by rule: an archived release stays for replays, and serves nobody."""

from __future__ import annotations

from collections.abc import Sequence

from core.clock import DAY_MS
from core.features.plan import Frozen

FORMER_CHAMPIONS_KEPT = 3
"""Latest former champions that a rollback may need at once."""


class ReleaseFacts(Frozen):
    """A release as the rule sees it. ``idle_since_ms``: last served, or made when never."""

    release: int
    idle_since_ms: int
    is_served: bool = False
    is_archived: bool = False


def stale_releases(
    facts: Sequence[ReleaseFacts],
    former_champions: Sequence[int],
    *,
    after_days: int,
    now_ms: int,
) -> dict[int, str]:
    """Releases to archive now, each with the reason.

    Never one in a channel, the newest, or one of the latest three former champions.

    Parameters
    ----------
    facts
        Every release of a use case that is there.
    former_champions
        The latest first.
    after_days
        Declared by the use case.

    Examples
    --------
    >>> facts = [ReleaseFacts(release=n, idle_since_ms=n * DAY_MS) for n in (1, 2, 3, 4)]
    >>> stale_releases(facts, (2,), after_days=90, now_ms=93 * DAY_MS)
    {1: 'served nobody for 92 days, 90 are allowed', 3: 'served nobody for 90 days, 90 are allowed'}
    """
    newest = max((each.release for each in facts), default=0)
    needed = {newest, *former_champions[:FORMER_CHAMPIONS_KEPT]}
    found = {}
    for each in facts:
        idle_days = (now_ms - each.idle_since_ms) // DAY_MS
        is_kept = each.is_served or each.is_archived or each.release in needed
        if not is_kept and idle_days >= after_days:
            found[each.release] = f"served nobody for {idle_days} days, {after_days} are allowed"
    return found
