"""Objectives as a worker keeps them: a meter for each use case that it serves.

What is promised is what the champion's manifest says. A meter is filled on the event loop alone
and read when somebody scrapes, or when its counts are left in the home
(`serving.telemetry.objective_files`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from core.clock import SECOND_MS
from core.monitoring.objectives import Measured, Objectives, standings
from core.rollout.counters import LATENCY_BINS, LATENCY_EDGES_MS, latency_bin
from serving.errors import LateError
from serving.models.releases import Served

_SENT_AWAY = re.compile(rb"POST /v1/([a-z][a-z0-9_]*)/predictions[:? ]")

_STEP, _PROMISE = 8, 100.0
SHOWN_EDGES = tuple(
    n
    for n, edge_ms in enumerate(LATENCY_EDGES_MS)
    if (n - LATENCY_EDGES_MS.index(_PROMISE)) % _STEP == 0 and 0.5 <= edge_ms <= 6_000
)
"""Bins' edges that are exported: 100 ms, the usual promise, and by factors of 1.44 around it."""


class Meter:
    """Requests of one use case, by what became of them."""

    __slots__ = (
        "_latencies",
        "_n_asked",
        "_n_failed",
        "_n_late",
        "_p99_s",
        "_spent_s",
        "objectives",
    )

    def __init__(self, objectives: Objectives) -> None:
        self._n_asked = self._n_failed = self._n_late = 0
        self._spent_s = 0.0
        self._latencies = [0] * LATENCY_BINS
        self.promise(objectives)

    def promise(self, objectives: Objectives) -> None:
        """Measure by these from now on."""
        self.objectives = objectives
        self._p99_s = objectives.p99_ms / SECOND_MS

    def asked(self, seconds: float, status: int, code: str, *, is_one: bool) -> None:
        """Count a request by the status of its answer, and the code of its problem.

        What a caller did wrong counts for nobody, and so does one who gave less time than is
        promised and was told that it was too little. Of lists no time is promised.
        """
        if status < HTTPStatus.BAD_REQUEST:
            self._n_asked += 1
            if is_one:
                self._n_late += seconds > self._p99_s
                self._latencies[latency_bin(seconds * SECOND_MS)] += 1
                self._spent_s += seconds
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR and (
            code != LateError.code or seconds >= self._p99_s
        ):
            self.failed()

    def failed(self) -> None:
        """Count a request that was not answered."""
        self._n_asked += 1
        self._n_failed += 1

    def measured(self) -> Measured:
        """What was counted since this process began."""
        return Measured(
            n_asked=self._n_asked,
            n_failed=self._n_failed,
            n_timed=sum(self._latencies),
            n_late=self._n_late,
            latencies={place: n for place, n in enumerate(self._latencies) if n},
        )

    def times(self) -> tuple[list[tuple[str, float]], float]:
        """Answered requests for one prediction up to each bound in seconds, and their sum."""
        reached = list(accumulate(self._latencies))
        bounds = [
            (f"{LATENCY_EDGES_MS[n] / SECOND_MS:.6g}", float(reached[n])) for n in SHOWN_EDGES
        ]
        return [*bounds, ("+Inf", float(reached[-1]))], self._spent_s


class Meters(Collector):
    """Meters of all use cases that were served since this process began."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._meters: dict[str, Meter] = {}
        self._served: frozenset[str] = frozenset()
        registry.register(self)

    def serving(self, use_cases: Mapping[str, Served]) -> None:
        """Measure what is served from now on, by what its champion promises."""
        for name, served in use_cases.items():
            promised = served.champion.manifest.promises
            meter = self._meters.get(name)
            if meter is None:
                self._meters[name] = Meter(promised)
            else:
                meter.promise(promised)
        self._served = frozenset(use_cases)

    def of(self, use_case: str) -> Meter | None:
        """Meter of a use case; None of one that was never served, whatever a caller names."""
        return self._meters.get(use_case)

    def sent_away(self, head: bytes) -> None:
        """Count a request that the door sent away, by the bytes that it began with."""
        named = _SENT_AWAY.match(head)
        meter = self._meters.get(named[1].decode()) if named is not None else None
        if meter is not None:
            meter.failed()

    def measured(self) -> dict[str, Measured]:
        """What was counted since this process began, by use case."""
        return {name: meter.measured() for name, meter in list(self._meters.items())}

    def describe(self) -> Iterable[Metric]:
        """What the registry holds against names that come twice."""
        return self._families()

    def collect(self) -> Iterable[Metric]:
        """What is promised, and by how many requests it was kept and missed."""
        p99, availability, requests, times = families = self._families()
        for name, meter in list(self._meters.items()):
            if name in self._served:
                p99.add_metric((name,), meter.objectives.p99_ms / SECOND_MS)
                availability.add_metric((name,), meter.objectives.availability_share)
            times.add_metric((name,), *meter.times())
            for each in standings(meter.objectives, meter.measured()):
                requests.add_metric((name, each.objective, "kept"), each.n - each.n_missed)
                requests.add_metric((name, each.objective, "missed"), each.n_missed)
        return families

    @staticmethod
    def _families() -> tuple[
        GaugeMetricFamily, GaugeMetricFamily, CounterMetricFamily, HistogramMetricFamily
    ]:
        return (
            GaugeMetricFamily(
                "throughline_objective_p99_seconds",
                "What 99 of 100 answered requests for one prediction are promised to stay within.",
                labels=("use_case",),
            ),
            GaugeMetricFamily(
                "throughline_objective_availability_ratio",
                "Share of requests that is promised to be answered.",
                labels=("use_case",),
            ),
            CounterMetricFamily(
                "throughline_objective_requests",
                "Requests that an objective is about, by whether they kept it.",
                labels=("use_case", "objective", "outcome"),
            ),
            HistogramMetricFamily(
                "throughline_prediction_seconds",
                "Time of an answered request for one prediction; synthetic ones are left out.",
                labels=("use_case",),
            ),
        )
