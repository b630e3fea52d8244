"""A real service sends spans to a collector on this machine, and answers while it is away."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from online_processes import service
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from orchestration.processes import free_port
from stores.layout import Layout

pytestmark = pytest.mark.slow
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PREDICT = "/v1/{use_case}/predictions"
CARD = "planted-card-7b7b"


class Collector:
    """Takes spans by OTLP over HTTP."""

    def __init__(self):
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self):
        """All spans so far."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span
            for request in requests
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "home").create()
    serve(layout, shelve(layout), counter=1)
    return layout


def ask(running, **headers):
    request = {**REQUEST, "entities": {**REQUEST["entities"], "card_id": CARD}}
    url = f"{running.url}/v1/toy/predictions"
    return httpx.post(url, json=request, headers=headers, timeout=60)


def test_a_traced_request_and_its_stages_reach_the_collector_and_nothing_that_was_sent(
    layout, collector
):
    sampled = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    with service(layout, TRACING__URL=collector.url, TRACING__SHARE=0) as running:
        given = ask(running, **sampled).headers["traceparent"]
        assert ask(running).status_code == 200
    spans = {span.name: span for span in collector.spans()}
    assert {"validate", "read", "transform", "score", "record", PREDICT} <= set(spans)
    request = spans[PREDICT]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, CALLER)
    assert given == f"00-{TRACE}-{request.span_id.hex()}-01"
    assert len(collector.spans()) == len(spans)  # the second request was not to be traced
    for name, span in spans.items():
        assert span.trace_id == request.trace_id
        assert name == PREDICT or span.parent_span_id == request.span_id
    assert CARD.encode() not in b"".join(collector.bodies)


def test_a_collector_that_is_away_costs_no_answer(layout):
    nobody = f"http://127.0.0.1:{free_port()}/v1/traces"
    with service(layout, TRACING__URL=nobody, TRACING__SHARE=1.0) as running:
        assert [ask(running).status_code for _ in range(20)] == [200] * 20
    assert running.process.returncode == 0
