"""Metrics of folder and controller, each on a port of its own where settings name one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server
from prometheus_client.process_collector import ProcessCollector

from core.errors import ConfigurationError


class FolderMetrics:
    """What a folder counts; ``registry`` holds it."""

    def __init__(self) -> None:
        self.registry = _registry()
        self._folded = Counter(
            "throughline_folded_records_total",
            "Records of a source's log that were folded, those refused by the contract included.",
            ("source",),
            registry=self.registry,
        )
        self._faults = Counter(
            "throughline_fold_faults_total",
            "Entities whose events could not be folded: their online values lack them.",
            ("source",),
            registry=self.registry,
        )
        self._failures = Counter(
            "throughline_fold_failures_total",
            "Turns that ended early because the online store did not take them.",
            registry=self.registry,
        )

    def folded(self, source: str, *, n_records: int, n_faults: int) -> None:
        """Count what one turn did with one source."""
        self._folded.labels(source).inc(n_records)
        self._faults.labels(source).inc(n_faults)

    def failed(self) -> None:
        """Count one turn that ended early."""
        self._failures.inc()


class ControllerMetrics:
    """What a controller counts; ``registry`` holds it."""

    def __init__(self) -> None:
        self.registry = _registry()
        self._requests = Counter(
            "throughline_channel_requests_total",
            "Requests to move channels, by whether they were accepted.",
            ("answer",),
            registry=self.registry,
        )
        self._held = Gauge(
            "throughline_rollouts_held",
            "1 while rollouts cannot be looked at and stay where they are.",
            registry=self.registry,
        )

    def answered(self, *, is_accepted: bool) -> None:
        """Count one answer."""
        self._requests.labels("accepted" if is_accepted else "refused").inc()

    def held(self, *, is_held: bool) -> None:
        """Show whether rollouts can be looked at."""
        self._held.set(is_held)


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


@contextmanager
def served_metrics(registry: CollectorRegistry, *, host: str, port: int) -> Iterator[None]:
    """Answer scrapes in a thread meanwhile; nothing where ``port`` is 0.

    Raises
    ------
    ConfigurationError
        If the port cannot be had.
    """
    if not port:
        yield
        return
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise ConfigurationError(
            "metrics cannot be served",
            found=f"{host}:{port}: {error.strerror}",
            remedy="name another port in THROUGHLINE_METRICS__..., or 0 for none",
            code="metrics_port",
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
