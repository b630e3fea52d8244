"""Repeats: what may happen a thousand times a second is told now and then, with how often."""

from __future__ import annotations

from collections.abc import Callable

from core.clock import Clock

EVERY_S = 10.0


class Repeats:
    """Lets the first of each kind through, and then one in a while.

    Kinds are few and ours (a route, a code), never what was sent.
    """

    def __init__(self, clock: Clock, *, every_s: float = EVERY_S) -> None:
        self._clock = clock
        self._every_s = every_s
        self._kinds: dict[str, tuple[float, int]] = {}

    def met(self, kind: str, tell: Callable[[str], None]) -> None:
        """Count one; call ``tell`` with how many were kept back ("" for none) when it is time."""
        now_s = self._clock.monotonic_s()
        last_s, n_kept_back = self._kinds.get(kind, (-self._every_s, 0))
        if now_s - last_s < self._every_s:
            self._kinds[kind] = last_s, n_kept_back + 1
            return
        self._kinds[kind] = now_s, 0
        tell(f" ({n_kept_back} more since it was last said)" if n_kept_back else "")
