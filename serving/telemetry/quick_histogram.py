"""A histogram that costs little to fill: what every request counts several times.

prometheus_client takes a lock and a walk through the buckets for each observation, because
threads may meet there. Ours are filled on the event loop alone, so a list will do; it becomes
Prometheus' families when somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class Observed:
    """Observations under one set of labels."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count a value; it falls into the first bucket that it does not exceed."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Numbers up to each bound, the last of them of all; and the sum."""
        bounds = [*map(str, map(float, self._bounds)), "+Inf"]
        reached, found = 0, []
        for bound, count in zip(bounds, self._counts, strict=True):
            reached += count
            found.append((bound, float(reached)))
        return found, self._total


class QuickHistogram(Collector):
    """A family of histograms, to be filled from one thread.

    Examples
    --------
    >>> registry = CollectorRegistry()
    >>> times = QuickHistogram("t_seconds", "Time.", ("kind",), (0.1, 1.0), registry)
    >>> times.of("a").observe(0.1)
    >>> registry.get_sample_value("t_seconds_bucket", {"kind": "a", "le": "0.1"})
    1.0
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._about = name, documentation
        self._labels = labels
        self._bounds = tuple(bounds)
        self._observed: dict[tuple[str, ...], Observed] = {}
        registry.register(self)

    def of(self, *values: str) -> Observed:
        """Where observations with these labels go."""
        found = self._observed.get(values)
        if found is None:
            found = self._observed[values] = Observed(self._bounds)
        return found

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """What the registry holds against names that come twice."""
        return [HistogramMetricFamily(*self._about, labels=self._labels)]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """What was observed so far."""
        family = HistogramMetricFamily(*self._about, labels=self._labels)
        for values, observed in list(self._observed.items()):
            buckets, total = observed.buckets()
            family.add_metric(values, buckets, total)
        return [family]
