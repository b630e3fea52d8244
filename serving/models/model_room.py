"""Room for models: who may stay in memory when not all can.

A champion makes room for itself: whoever of the others was asked longest ago goes first. A
challenger or shadow never does, or two of them would chase each other out for ever: where there
is no room it is not loaded, and the reason is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from core.errors import OverloadedError

Key = tuple[str, int]
_MIB = 1 << 20


class Tenant(NamedTuple):
    """A release in memory: what it takes, and when it was last asked, in seconds of a clock."""

    key: Key
    n_bytes: int
    is_champion: bool
    used_s: float


def who_goes(
    tenants: Iterable[Tenant], n_bytes: int, budget_bytes: int, *, is_champion: bool
) -> list[Key]:
    """Whom a release of ``n_bytes`` turns out, longest unused first; none where there is room.

    A budget of 0 is no limit.

    Raises
    ------
    OverloadedError
        If there is no room even so.

    Examples
    --------
    >>> here = [Tenant(("a", 1), 60, True, 0.0), Tenant(("a", 2), 30, False, 5.0)]
    >>> who_goes(here, 10, 100, is_champion=False)
    []
    >>> who_goes(here, 20, 100, is_champion=True)
    [('a', 2)]
    """
    held = list(tenants)
    free = budget_bytes - sum(tenant.n_bytes for tenant in held)
    if not budget_bytes or n_bytes <= free:
        return []
    others = sorted((t for t in held if not t.is_champion), key=lambda tenant: tenant.used_s)
    gone: list[Key] = []
    for tenant in others if is_champion else ():
        gone.append(tenant.key)
        free += tenant.n_bytes
        if n_bytes <= free:
            return gone
    raise OverloadedError(
        "there is no room in memory for a release",
        found=f"{_mib(n_bytes)} MiB to load, {_mib(max(free, 0))} of {_mib(budget_bytes)} MiB free"
        + (" without all that may go" if is_champion else ""),
        remedy="raise THROUGHLINE_MODELS__BUDGET_BYTES, serve less here, or build it smaller",
        code="no_room",
    )


def _mib(n_bytes: int) -> int:
    """Whole MiB, rounded up: what takes a little takes one."""
    return -(-n_bytes // _MIB)
