"""A counter that costs little to raise: what every request, and every refusal, counts.

prometheus_client takes a lock for each, because threads may meet there. Ours are raised on the
event loop alone, so a number will do; it becomes Prometheus' samples when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class Count:
    """What was counted under one set of labels."""

    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


class QuickCounter(Collector):
    """A family of counters, to be raised from one thread.

    Examples
    --------
    >>> registry = CollectorRegistry()
    >>> answers = QuickCounter("answers_total", "Answers.", ("kind",), registry)
    >>> answers.of("good").n += 2
    >>> registry.get_sample_value("answers_total", {"kind": "good"})
    2.0
    """

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self._about = name, documentation
        self._labels = labels
        self._counts: dict[tuple[str, ...], Count] = {}
        registry.register(self)

    def of(self, *values: str) -> Count:
        """What is counted with these labels."""
        found = self._counts.get(values)
        if found is None:
            found = self._counts[values] = Count()
        return found

    def describe(self) -> Iterable[CounterMetricFamily]:
        """What the registry holds against names that come twice."""
        return [CounterMetricFamily(*self._about, labels=self._labels)]

    def collect(self) -> Iterable[CounterMetricFamily]:
        """What was counted so far."""
        family = CounterMetricFamily(*self._about, labels=self._labels)
        for values, count in list(self._counts.items()):
            family.add_metric(values, float(count.n))
        return [family]
