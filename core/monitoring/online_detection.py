"""Detectors on a stream of scores or errors, one value after the other, in the order they came.

Two run side by side on each stream: ADWIN, which needs no idea of how large a change will be, and
Page-Hinkley, which finds a small lasting one sooner where the spread is known. Nothing is kept
between runs: a run replays the stream from a fixed instant, so it says the same whenever and
wherever it runs, and after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.features.plan import Frozen
from core.stats.adwin import Adwin
from core.stats.cumulative import PageHinkley

Detector = Literal["adwin", "page_hinkley"]
Stream = Literal["scores", "errors"]

DELTA = 0.002
SPREADS = 40.0
ALLOWANCE_SPREADS = 0.25
FEWEST = 200
MOST_VALUES = 10_000
"""What is gone through of a stream; of a longer one means of two, three, ... that came together."""


class Alarm(Frozen):
    """A change of the mean of a stream: found by what, at which value, from what to what.

    ``place`` counts the values that were held, from 0; of values that were taken together it is
    that of the last one.
    """

    release: int
    stream: Stream
    detector: Detector
    place: int
    at_ms: int
    before: float
    after: float

    def sentence(self) -> str:
        """One clause for people."""
        return (
            f"{self.stream} of release {self.release} went from {self.before:.4f} to "
            f"{self.after:.4f} on average ({self.detector.replace('_', '-')})"
        )


class Values(NamedTuple):
    """A stream: shape ``(n,)`` each, in the order of arrival; NaN is left out."""

    release: int
    stream: Stream
    at_ms: NDArray[np.int64]
    values: NDArray[np.float64]


def alarms_of(stream: Values) -> list[Alarm]:
    """All changes that either detector finds, in order; none in fewer than 200 values.

    Of a stream of more than `MOST_VALUES` means of consecutive values are gone through, so every
    value counts and what comes out keeps its mean; those that do not fill the last such block are
    for a later run.

    Examples
    --------
    >>> errors = np.array([0.0, 0.0, 0.0, 0.0, 1.0] * 100 + [0.0, 1.0, 0.0, 1.0, 0.0] * 100)
    >>> found = alarms_of(Values(1, "errors", np.arange(1_000), errors))
    >>> sorted({alarm.detector for alarm in found}), 500 < found[0].place < 1_000
    (['adwin', 'page_hinkley'], True)
    """
    is_held = ~np.isnan(stream.values)
    held, at_ms = stream.values[is_held], stream.at_ms[is_held]
    step = max(1, -(-len(held) // MOST_VALUES))
    values = held[: len(held) // step * step].reshape(-1, step).mean(axis=1)
    if len(values) < FEWEST:
        return []
    spread = float(values[:FEWEST].std()) or 1.0
    adwin = Adwin(DELTA)
    hinkley = PageHinkley(allowance=ALLOWANCE_SPREADS * spread, limit=SPREADS * spread)
    found: list[Alarm] = []
    for block, value in enumerate(values.tolist()):
        place = step * (block + 1) - 1
        before = adwin.mean
        if adwin.update(value):
            found.append(_alarm(stream, "adwin", place, at_ms, before, adwin.mean))
        before = float(hinkley.mean)
        if bool(hinkley.update(value)):
            newest = float(values[max(0, block - FEWEST) : block + 1].mean())
            found.append(_alarm(stream, "page_hinkley", place, at_ms, before, newest))
    return found


def _alarm(
    stream: Values, detector: Detector, place: int, at_ms: NDArray[np.int64], before: float,
    after: float,
) -> Alarm:  # fmt: skip
    return Alarm(
        release=stream.release,
        stream=stream.stream,
        detector=detector,
        place=place,
        at_ms=int(at_ms[place]),
        before=before,
        after=after,
    )


def since(alarms: Iterable[Alarm], from_ms: int) -> list[Alarm]:
    """Those of values that came from an instant on."""
    return [alarm for alarm in alarms if alarm.at_ms >= from_ms]
