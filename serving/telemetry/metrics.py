"""Metrics of the service. The registry is an argument; labels never name an entity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, generate_latest
from prometheus_client.process_collector import ProcessCollector

from serving.errors import BusyError
from serving.models.releases import Served
from serving.telemetry.home_metrics import Families
from serving.telemetry.objectives import Meters
from serving.telemetry.quick_counter import QuickCounter
from serving.telemetry.quick_histogram import QuickHistogram

# Seconds. Fine where the promise is (100 ms), coarse beyond it.
_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Telemetry:
    """Counters and histograms of one process; an ``Observer`` of the engine.

    Attributes
    ----------
    objectives
        What is promised, and how it is kept.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.objectives = Meters(registry)
        self._predictions = QuickCounter(
            "throughline_predictions_total",
            "Points answered, by decision; `degraded` is the level, empty when whole.",
            ("use_case", "channel", "decision", "degraded"),
            registry,
        )
        self._contracts = QuickCounter(
            "throughline_contract_requests_total",
            "Requests for predictions, by the major version of the contract that they speak.",
            ("use_case", "contract"),
            registry,
        )
        self._inferences = QuickCounter(
            "throughline_inferred_rows_total",
            "Rows scored alone, with inputs that the caller brought.",
            ("use_case", "channel"),
            registry,
        )
        self._stages = QuickHistogram(
            "throughline_stage_seconds",
            "Time of one stage of one pass, which requests of one turn share.",
            ("use_case", "stage"),
            _BUCKETS_S,
            registry,
        )
        self._requests = QuickHistogram(
            "throughline_request_seconds",
            "Time from the first byte of the body to the answer, by route and status.",
            ("route", "status"),
            _BUCKETS_S,
            registry,
        )
        self._refusals = QuickCounter(
            "throughline_refusals_total",
            "Requests answered by a problem, by its code.",
            ("code",),
            registry,
        )
        self._events = Counter(
            "throughline_events_total",
            "Events taken over HTTP, by what became of them.",
            ("source", "status"),
            registry=registry,
        )
        self._channels = _Channels(registry)
        ProcessCollector(registry=registry)  # memory, processor time, open files

        self._asked = _asked(registry)

    def predicted(
        self, use_case: str, channel: str, decision: str, *, degraded: str, n_points: int = 1
    ) -> None:
        """Count answered points."""
        self._predictions.of(use_case, channel, decision, degraded).n += n_points

    def spoken(self, use_case: str, major: int) -> None:
        """Count one request, by the contract that it speaks."""
        self._contracts.of(use_case, str(major)).n += 1

    def inferred(self, use_case: str, channel: str, n_rows: int) -> None:
        """Count rows that were scored alone."""
        self._inferences.of(use_case, channel).n += n_rows

    def stage(self, use_case: str, stage: str, seconds: float) -> None:
        """Time one stage of one pass."""
        self._stages.of(use_case, stage).observe(seconds)

    def requested(self, route: str, status: int, seconds: float) -> None:
        """Time one request."""
        self._requests.of(route, str(status)).observe(seconds)

    def refused(self, code: str) -> None:
        """Count one problem."""
        self._refusals.of(code).n += 1

    def sent_away(self, head: bytes) -> None:
        """Count a request that was refused at the door, by the bytes that it began with."""
        self.refused(BusyError.code)
        self.objectives.sent_away(head)

    def asked(self, dependency: str, *, is_asked: bool) -> None:
        """Show whether a dependency is asked, or left alone for a while."""
        self._asked.labels(dependency).set(is_asked)

    def taken(self, source: str, status: str, count: int) -> None:
        """Count events taken over HTTP."""
        self._events.labels(source, status).inc(count)

    def serving(self, counter: int, use_cases: Mapping[str, Served]) -> None:
        """Show what is served, and measure it by what it promises."""
        self._channels.show(counter, use_cases)
        self.objectives.serving(use_cases)

    def models(self, sizes: Mapping[tuple[str, int], int]) -> None:
        """Show what is in memory."""
        self._channels.hold(sizes)

    def exposition(self, families: Iterable[Metric] | None = None) -> bytes:
        """Families, those of this process when none are given, in Prometheus' text format."""
        given = self._registry.collect() if families is None else families
        return generate_latest(Families(given))


def _asked(registry: CollectorRegistry) -> Gauge:
    return Gauge(
        "throughline_dependency_asked",
        "1 while a dependency is asked, 0 while it is left alone because it kept failing.",
        ("dependency",),
        registry=registry,
    )


class _Levels:
    """A gauge whose labels come and go. A scrape between two looks misses none that stays."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: set[tuple[str, ...]] = set()

    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Put down these; what is no longer among them goes."""
        for labels, value in values.items():
            self._gauge.labels(*labels).set(value)
        for labels in self._shown - values.keys():
            self._gauge.remove(*labels)
        self._shown = set(values)


class _Channels:
    """Gauges of what is served."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def levels(name: str, documentation: str, labels: tuple[str, ...]) -> _Levels:
            return _Levels(Gauge(name, documentation, labels, registry=registry))

        self._release = levels(
            "throughline_release",
            "Release that serves, by use case and channel.",
            ("use_case", "channel"),
        )
        self._models = levels(
            "throughline_model_memory_bytes",
            "What the models of a release in memory take, measured when they were loaded.",
            ("use_case", "release"),
        )
        self._weight = levels(
            "throughline_challenger_weight",
            "Share of entities that the challenger answers, where there is one.",
            ("use_case",),
        )
        self._counter = Gauge(
            "throughline_channels_version", "Version of the channels followed.", registry=registry
        )

    def hold(self, sizes: Mapping[tuple[str, int], int]) -> None:
        """Show what the models in memory take."""
        self._models.show(
            {(use_case, str(release)): n_bytes for (use_case, release), n_bytes in sizes.items()}
        )

    def show(self, counter: int, use_cases: Mapping[str, Served]) -> None:
        """Put down what is served."""
        self._counter.set(counter)
        self._release.show(
            {
                (use_case, channel): release.manifest.release
                for use_case, served in use_cases.items()
                for channel, release in served.releases.items()
            }
        )
        self._weight.show(
            {
                (use_case,): served.state.challenger_weight
                for use_case, served in use_cases.items()
                if served.challenger is not None
            }
        )
