"""What shadows cost the answers beside them: p99 of all requests, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

LIMIT_MS = 1.0
NONE, AGAIN = "none", "none again"
GOOD, HANGING, CRASHING = "good", "hanging", "crashing"
ALONE = (NONE, AGAIN)
"""Turns without a shadow, of two names: what moves between them is moved by nothing."""

PROOFS = {GOOD: ("scores compared", 100), HANGING: ("times it hung", 5),
          CRASHING: ("times it was killed", 5)}  # fmt: skip
OK = 200
SHARE, SURE, RESAMPLES = 0.99, 0.95, 2_000

Turns = Sequence[NDArray[np.float64]]
"""Latencies of each turn, in ms; those of other kinds at the same place are its neighbours."""


class Moved(NamedTuple):
    """How much later a p99 is than another, in ms, and where it lies in 95 of 100 runs."""

    ms: float
    low_ms: float
    high_ms: float

    def __str__(self) -> str:
        return f"{self.ms:+.1f} ms ({self.low_ms:+.1f} to {self.high_ms:+.1f})"


def p99_ms(turns: Turns) -> float:
    """p99 of all requests of all turns.

    Examples
    --------
    >>> p99_ms([np.arange(1.0, 100.0), np.array([100.0])])
    99.0
    """
    found = np.concatenate(turns)
    place = max(0, math.ceil(SHARE * len(found)) - 1)
    return float(np.partition(found, place)[place])


def moved(turns: Turns, alone: Turns, *, resamples: int = RESAMPLES) -> Moved:
    """How much later the p99 of ``turns`` is than that of ``alone``.

    Its interval is that of a bootstrap over places: a turn is drawn whole, and with its neighbours.
    What slows one request slows the next, so the requests of a turn are not so many witnesses; and
    a machine that was slow for half a minute was slow for all that were there. Fewer than two
    places have no interval: then it is NaN.

    Examples
    --------
    >>> slow, quick = [np.full(100, 3.0)] * 4, [np.full(100, 1.0)] * 4
    >>> moved(slow, quick)
    Moved(ms=2.0, low_ms=2.0, high_ms=2.0)
    """

    def later_ms(places: NDArray[np.int64]) -> float:
        return p99_ms([turns[n] for n in places]) - p99_ms([alone[n] for n in places])

    places = np.arange(len(turns))
    found = later_ms(places)
    if len(turns) < 2:
        return Moved(found, np.nan, np.nan)
    interval = bootstrap(
        (places,), later_ms, vectorized=False, n_resamples=resamples, confidence_level=SURE,
        method="percentile", rng=np.random.default_rng(11),
    ).confidence_interval  # fmt: skip
    return Moved(found, float(interval.low), float(interval.high))


@dataclass
class Beside:
    """What answers were like beside one shadow.

    ``proven`` is how often the shadow did what it is named for: else its turns show nothing.
    ``sent`` and ``errors`` count what was sent while a turn settled, too.
    """

    name: str
    turns: list[NDArray[np.float64]] = field(default_factory=list)
    sent: int = 0
    errors: int = 0
    proven: int = 0

    def keep(self, found: NDArray[np.void], *, settles_s: float) -> None:
        """Take a turn, as `benchmarks.open_loop` tells it; what was due sooner is too early."""
        is_good = found["status"] == OK
        self.turns.append(found["ms"][is_good & (found["due_s"] >= settles_s)])
        self.sent += len(found)
        self.errors += int((~is_good).sum())

    @property
    def proof(self) -> str:
        """What ``proven`` counts."""
        return PROOFS[self.name][0]

    @property
    def proven_at_least(self) -> int:
        """Fewer show nothing."""
        return PROOFS[self.name][1]

    @property
    def p99_ms(self) -> float:
        """Over all its turns."""
        return p99_ms(self.turns)


class Held:
    """Shadows held to the turns without one, as many and at the same places."""

    def __init__(self, found: Mapping[str, Beside]) -> None:
        one, again = (found[name] for name in ALONE)
        pairs = zip(one.turns, again.turns, strict=True)
        both = [np.concatenate(pair) for pair in pairs]
        self.alone = Beside(NONE, both, one.sent + again.sent, one.errors + again.errors)
        self.shadows = [found[name] for name in PROOFS]
        self.moved = {each.name: moved(each.turns, both) for each in self.shadows}
        self.itself = moved(again.turns, one.turns)
        """How far turns without a shadow lie from each other: less than that is not told apart."""

    def said(self, each: Beside) -> str:
        """One line."""
        return (
            f"shadow {each.name}: p99 {each.p99_ms:.1f} ms, without {self.alone.p99_ms:.1f} ms: "
            f"moved {self.moved[each.name]}; {each.errors} errors of {each.sent:,}; "
            f"{each.proof}: {each.proven:,}"
        )

    def row(self, each: Beside) -> str:
        """Row of the page."""
        return (
            f"| a shadow beside the champion, {each.name} ({each.proof}: {each.proven:,}) | p99 "
            f"{self.alone.p99_ms:.1f} ms without, {each.p99_ms:.1f} ms with: "
            f"{self.moved[each.name]}; {each.errors} errors of {each.sent:,} | {LIMIT_MS:g} ms, 0 |"
        )

    @property
    def said_of_itself(self) -> str:
        """One line about turns without a shadow."""
        return (
            f"shadow none: p99 {self.alone.p99_ms:.1f} ms in {2 * len(self.alone.turns)} turns, "
            f"one half against the other {self.itself}; "
            f"{self.alone.errors} errors of {self.alone.sent:,}"
        )

    @property
    def row_of_itself(self) -> str:
        """Row of the page about them."""
        return (
            f"| no shadow, one half of {2 * len(self.alone.turns)} turns against the other | "
            f"{self.itself}; {self.alone.errors} errors of {self.alone.sent:,} | 0 errors |"
        )

    def figures(self, each: Beside) -> dict[str, object]:
        """For the file of all figures: of each turn its p99."""
        return {
            "p99_ms": each.p99_ms, "moved_ms": self.moved[each.name]._asdict(), "sent": each.sent,
            "errors": each.errors, "proven": each.proven,
            "turns_p99_ms": [p99_ms([turn]) for turn in each.turns],
        }  # fmt: skip
