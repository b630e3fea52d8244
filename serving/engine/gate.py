"""The gate before the engine: how many requests may be inside, and for how long they may wait.

The engine answers one thing at a time, so who comes in waits for all who are inside. While it is
busy the gate measures how long one takes, and it is full as soon as another would wait longer
than is promised: what cannot be answered in time is refused at once, by those few instructions
that keep the rest quick. One gate a process; entering and leaving cost 0.5 us.
"""

from __future__ import annotations

from collections import deque

from core.clock import Clock

FEW = 8
"""So many may always be inside: one slow request says nothing about the next."""
MEASURED, LAPS = 32, 4
"""Requests of a lap, and laps: the pace is that of the quickest of the last ones. A moment in which
the machine did something else is no pace; being slow lap after lap is."""


class Gate:
    """Counts requests inside, on one event loop.

    Parameters
    ----------
    most
        So many may be inside at once.
    patience_ms
        Longest wait that a request may expect when it comes.

    Examples
    --------
    >>> from core.clock import FixedClock
    >>> gate = Gate(FixedClock(0), most=2, patience_ms=50)
    >>> gate.enter(), gate.is_full
    (None, False)
    >>> gate.enter(), gate.is_full
    (None, True)
    """

    __slots__ = (
        "_clock", "_laps_s", "_most", "_n_answered", "_pace_s", "_patience_s", "_since_s",
        "n_inside",
    )  # fmt: skip

    def __init__(self, clock: Clock, *, most: int, patience_ms: int) -> None:
        self._clock = clock
        self._most = most
        self._patience_s = patience_ms / 1_000
        self._pace_s = 0.0
        self._since_s = 0.0
        self._n_answered = 0
        self._laps_s: deque[float] = deque(maxlen=LAPS)
        self.n_inside = 0

    @property
    def now_s(self) -> float:
        """The gate's clock."""
        return self._clock.monotonic_s()

    @property
    def expected_s(self) -> float:
        """How long one that came now would wait; 0 while that is not known."""
        return self.n_inside * self._pace_s

    @property
    def is_full(self) -> bool:
        """Whether who comes now is to be sent away."""
        n_inside = self.n_inside
        return n_inside >= self._most or (
            n_inside > FEW and n_inside * self._pace_s > self._patience_s
        )

    def enter(self) -> None:
        """One came in."""
        if not self.n_inside:  # nobody waits: what was slow before is over
            self._pace_s, self._n_answered = 0.0, 0
            self._laps_s.clear()
            self._since_s = self._clock.monotonic_s()
        self.n_inside += 1

    def withdraw(self) -> None:
        """One that had come in has gone unanswered: it says nothing about the pace."""
        self.n_inside -= 1

    def leave(self) -> None:
        """One that had come in was answered."""
        self.n_inside -= 1
        self._n_answered += 1
        if self._n_answered >= MEASURED:
            now_s = self._clock.monotonic_s()
            self._laps_s.append((now_s - self._since_s) / self._n_answered)
            self._since_s, self._n_answered = now_s, 0
            if len(self._laps_s) == LAPS:
                self._pace_s = min(self._laps_s)
