"""Spans: each request and each stage of it, sent to a collector where settings name one.

A request that came with a ``traceparent`` is a span below the caller's, sent when the caller's
flags say so; of the others a share begins a trace of its own, told by a hash of the request's id.
Requests that share a pass have its stages once, below the one that began it. Attributes are
routes, statuses, use cases and stages: nothing that was sent. Spans leave in the background,
and while the collector is away they are dropped.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry

from core.errors import ConfigurationError
from serving.telemetry.metrics import Telemetry
from serving.telemetry.tracing import Trace, current

_EXPORT_TIMEOUT_S = 2.0
_NS = 1_000_000_000
_SAMPLED = 1


class Spans:
    """Makes spans of what was measured and hands them on.

    Parameters
    ----------
    processor
        Takes spans that have ended, as OpenTelemetry's span processors do.
    share
        Share of the requests without a trace that begin one, 0 to 1.
    """

    def __init__(
        self, processor: Any, *, share: float, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        from opentelemetry import trace as api
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan

        self._api, self._span = api, ReadableSpan
        self._resource = Resource.create({"service.name": "throughline"})
        self._processor = processor
        self._limit = int(share * 2**64)
        self._now_ns = now_ns

    @classmethod
    def to(cls, url: str, *, share: float) -> Spans:
        """Spans to an OTLP collector (``http://host:4318/v1/traces``).

        Raises
        ------
        ConfigurationError
            If the libraries are not installed.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            raise ConfigurationError(
                "spans cannot be sent",
                found="no OpenTelemetry SDK",
                remedy="install the extra tracing, or leave THROUGHLINE_TRACING__URL out",
                code="no_tracing",
            ) from None
        exporter = OTLPSpanExporter(endpoint=url, timeout=_EXPORT_TIMEOUT_S)
        return cls(BatchSpanProcessor(exporter), share=share)

    def request(self, trace: Trace, route: str, status: int, seconds: float) -> None:
        """One request that was answered."""
        trace_id, span_id, is_sampled = self._place(trace)
        if is_sampled:
            parent = self._context(trace_id, trace.parent_id) if trace.parent_id else None
            attributes = {"http.route": route, "http.response.status_code": status}
            context = self._context(trace_id, span_id)
            self._end(route, context, parent, self._api.SpanKind.SERVER, attributes, seconds)

    def stage(self, trace: Trace, use_case: str, stage: str, seconds: float) -> None:
        """One stage of a pass."""
        trace_id, span_id, is_sampled = self._place(trace)
        if is_sampled:
            own = hashlib.blake2b(f"{span_id}/{stage}".encode(), digest_size=8).hexdigest()
            context, parent = self._context(trace_id, own), self._context(trace_id, span_id)
            attributes = {"throughline.use_case": use_case, "throughline.stage": stage}
            self._end(stage, context, parent, self._api.SpanKind.INTERNAL, attributes, seconds)

    def close(self) -> None:
        """Send what is left, for some seconds at most. Blocking."""
        self._processor.shutdown()

    def _place(self, trace: Trace) -> tuple[str, str, bool]:
        """Trace and span of a request, and whether anybody wants to see it."""
        if trace.trace_id:
            return trace.trace_id, trace.span_id, trace.flags == "01"
        drawn = hashlib.blake2b(trace.request_id.encode(), digest_size=32).hexdigest()
        return drawn[:32], drawn[32:48], int(drawn[48:], 16) < self._limit

    def _context(self, trace_id: str, span_id: str) -> Any:
        flags = self._api.TraceFlags(_SAMPLED)
        return self._api.SpanContext(int(trace_id, 16), int(span_id, 16), False, flags)  # noqa: FBT003 - not remote

    def _end(
        self, name: str, context: Any, parent: Any, kind: Any, attributes: Any, seconds: float
    ) -> None:
        end_ns = self._now_ns()
        self._processor.on_end(
            self._span(
                name,
                context,
                parent,
                self._resource,
                attributes,
                kind=kind,
                start_time=end_ns - int(seconds * _NS),
                end_time=end_ns,
            )
        )


class TracedTelemetry(Telemetry):
    """Telemetry that makes a span of each request and stage that it times."""

    def __init__(self, registry: CollectorRegistry, spans: Spans) -> None:
        super().__init__(registry)
        self._spans = spans

    def stage(self, use_case: str, stage: str, seconds: float) -> None:
        """Time one stage of one pass."""
        super().stage(use_case, stage, seconds)
        trace = current.get()
        if trace is not None:
            self._spans.stage(trace, use_case, stage, seconds)

    def requested(self, route: str, status: int, seconds: float) -> None:
        """Time one request."""
        super().requested(route, status, seconds)
        trace = current.get()
        if trace is not None:
            self._spans.request(trace, route, status, seconds)
