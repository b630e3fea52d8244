"""The id of a request and its place in a trace: on every answer, in the record, over gRPC too."""

from __future__ import annotations

import httpx
import pytest
import tritonclient.grpc as triton
from bundles import REQUEST, USE_CASE, serve, shelve
from online_processes import service
from wire import request, wire

from orchestration.processes import free_port
from stores.layout import Layout

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ASKED = {
    "traceparent": f"00-{TRACE}-{SPAN}-01",
    "tracestate": "vendor=abc",
    "x-request-id": "order-17",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    grpc_port = free_port()
    with service(layout, GRPC__PORT=grpc_port) as process:
        yield process.url, grpc_port


EVERYWHERE = [
    ("POST", "/v1/toy/predictions", 200),
    ("POST", "/v1/other/predictions", 404),
    ("POST", "/v1/toy/predictions:batch", 422),
    ("POST", "/v1/events/payments", 422),
    ("GET", "/v1/predictions/none", 404),
    ("GET", "/livez", 200),
    ("GET", "/readyz", 200),
    ("GET", "/metrics", 200),
    ("GET", "/docs", 200),
    ("GET", "/openapi.json", 200),
    ("GET", "/v2", 200),
    ("GET", "/v2/models/toy", 200),
    ("POST", "/v2/models/toy/infer", 422),
    ("GET", "/nothing", 404),
    ("DELETE", "/livez", 405),
]


@pytest.mark.parametrize(("method", "path", "status"), EVERYWHERE)
def test_every_answer_has_the_id_and_gives_the_trace_on(served, method, path, status):
    url, _ = served
    body = REQUEST if method == "POST" else None
    answer = httpx.request(method, url + path, json=body, headers=ASKED)
    assert answer.status_code == status
    assert answer.headers["x-request-id"] == "order-17"
    assert answer.headers["tracestate"] == "vendor=abc"
    version, trace_id, span_id, flags = answer.headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", TRACE, "01")
    assert span_id != SPAN
    plain = httpx.request(method, url + path, json=body)
    assert len(plain.headers["x-request-id"]) == 32
    assert {"traceparent", "tracestate"}.isdisjoint(plain.headers)


def test_what_is_no_request_is_answered_with_an_id_too(served):
    with wire(served[0]) as connection:
        connection.send(b"nonsense\r\n\r\n")
        assert len(connection.answer().headers["x-request-id"]) == 32


def test_pipelined_requests_keep_their_own_ids(served):
    with wire(served[0]) as connection:
        asked = [
            request(path=b"/livez", method=b"GET").replace(
                b"Host: x", b"Host: x\r\nX-Request-ID: n%d" % n
            )
            for n in range(20)
        ]
        connection.send(b"".join(asked))
        ids = [connection.answer().headers["x-request-id"] for _ in asked]
    assert ids == [f"n{n}" for n in range(20)]


def test_the_record_has_the_id_and_the_span_of_its_request(served):
    url, _ = served
    batch = httpx.post(
        f"{url}/v1/toy/predictions:batch", json={"points": [REQUEST, REQUEST]}, headers=ASKED
    )
    one = httpx.post(f"{url}/v1/toy/predictions", json=REQUEST, headers=ASKED)
    pairs = [(batch, each["prediction_id"]) for each in batch.json()["predictions"]]
    for answer, record_id in [*pairs, (one, one.json()["prediction_id"])]:
        record = httpx.get(f"{url}/v1/predictions/{record_id}").json()
        assert record["request_id"] == "order-17"
        assert record["traceparent"] == answer.headers["traceparent"]


def test_grpc_takes_and_gives_them_too(served):
    with triton.InferenceServerClient(f"127.0.0.1:{served[1]}") as client:
        answer, call = client._client_stub.ModelReady.with_call(
            triton.service_pb2.ModelReadyRequest(name=USE_CASE), metadata=tuple(ASKED.items())
        )
    assert answer.ready
    given = dict(call.trailing_metadata())
    assert given["x-request-id"] == "order-17"
    assert given["traceparent"].split("-")[1] == TRACE
    assert given["tracestate"] == "vendor=abc"
