"""Spans of requests and stages, as a collector gets them."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from serving.telemetry.spans import Spans, TracedTelemetry
from serving.telemetry.tracing import Trace, current

NOW_NS = 1_767_225_600_000_000_000
PREDICT = "/v1/{use_case}/predictions"
SAMPLED = Trace("order-17", "4bf92f3577b34da6a3ce929d0e0e4736", "1" * 16, "00f067aa0ba902b7", "01")


class World:
    def __init__(self, share):
        self.exporter = InMemorySpanExporter()
        processor = SimpleSpanProcessor(self.exporter)
        spans = Spans(processor, share=share, now_ns=lambda: NOW_NS)
        self.telemetry = TracedTelemetry(CollectorRegistry(), spans)

    def answer(self, trace):
        """What the service times of one prediction."""
        token = current.set(trace)
        self.telemetry.stage("toy", "read", 0.002)
        self.telemetry.stage("toy", "score", 0.001)
        self.telemetry.requested(PREDICT, 200, 0.004)
        current.reset(token)

    def spans(self):
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    # Importing Feast in this process sets them for every user of prometheus_client.
    monkeypatch.delenv("prometheus_multiproc_dir", raising=False)
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)


def test_a_request_is_a_span_below_the_caller_s_with_its_stages_below_it():
    world = World(share=0.0)
    world.answer(SAMPLED)
    found = world.spans()
    assert set(found) == {PREDICT, "read", "score"}
    request = found[PREDICT]
    assert f"{request.context.trace_id:032x}" == SAMPLED.trace_id
    assert f"{request.context.span_id:016x}" == SAMPLED.span_id
    assert f"{request.parent.span_id:016x}" == SAMPLED.parent_id
    assert request.kind.name == "SERVER"
    assert dict(request.attributes) == {"http.route": PREDICT, "http.response.status_code": 200}
    assert (request.end_time, request.end_time - request.start_time) == (NOW_NS, 4_000_000)
    for stage in ("read", "score"):
        assert found[stage].parent.span_id == request.context.span_id
        assert found[stage].context.trace_id == request.context.trace_id
        assert dict(found[stage].attributes) == {
            "throughline.use_case": "toy",
            "throughline.stage": stage,
        }
    assert found["read"].context.span_id != found["score"].context.span_id


def test_a_caller_who_samples_nothing_gets_no_span():
    world = World(share=1.0)
    world.answer(Trace("order-17", SAMPLED.trace_id, "1" * 16, "2" * 16, "00"))
    assert world.spans() == {}


def test_a_share_of_the_others_begins_a_trace_that_hangs_together():
    world = World(share=0.25)
    for n in range(2_000):
        world.answer(Trace(f"request-{n}"))
    spans = world.exporter.get_finished_spans()
    requests = [span for span in spans if span.name == PREDICT]
    assert 400 < len(requests) < 600  # 500 and five deviations
    assert len(spans) == 3 * len(requests)
    assert all(span.parent is None for span in requests)
    ids = {span.context.span_id: span.context.trace_id for span in requests}
    assert len(ids) == len(requests)
    stages = [span for span in spans if span.name != PREDICT]
    parents = [(span.parent, span.context.trace_id) for span in stages]
    assert all(parent and ids[parent.span_id] == trace for parent, trace in parents)


def test_what_is_timed_outside_of_requests_is_no_span():
    world = World(share=1.0)
    world.telemetry.stage("toy", "read", 0.001)
    assert world.spans() == {}


def test_what_is_counted_is_counted_as_without_spans():
    world = World(share=1.0)
    world.answer(SAMPLED)
    text = world.telemetry.exposition().decode()
    assert 'throughline_stage_seconds_count{stage="read",use_case="toy"} 1.0' in text
    assert "throughline_request_seconds_count{" in text
