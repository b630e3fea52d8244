"""The Open Inference Protocol over gRPC, asked by its public client at a real process."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from bundles import REQUEST, TOY_PLAN, USE_CASE, expected_score, serve, shelve
from online_processes import OnlineProcess, service
from wire import wire

from orchestration.processes import free_port
from serving.transport.inference_proto import METHODS, SERVICE, messages
from serving.workers import CANNOT_START
from stores.layout import Layout

WIDTH = len(TOY_PLAN.vector)
ROWS = np.array([[1_250, 2, 3.5, 0.25, np.nan], [1, 0, 0, 0, 5_000]], dtype=np.float32)
SCORES = [expected_score([None if np.isnan(v) else float(v) for v in row]) for row in ROWS]
MAX_BODY_BYTES = 100_000
MADE = messages()
NO_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""A frame that begins a connection of HTTP/2."""


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    port = free_port()
    with service(layout, GRPC__PORT=port, HTTP__MAX_BODY_BYTES=MAX_BODY_BYTES) as process:
        yield process, f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def address(started):
    return started[1]


@pytest.fixture(scope="module")
def client(address):
    with triton.InferenceServerClient(address) as client:
        yield client


@pytest.fixture(scope="module")
def call(address):
    """Calls an RPC with our own messages: what the public client would not send."""
    with grpc.insecure_channel(address) as channel:

        def call(name, request, **options):
            asked, answered = METHODS[name]
            rpc = channel.unary_unary(
                f"/{SERVICE}/{name}",
                request_serializer=MADE[asked].SerializeToString,
                response_deserializer=MADE[answered].FromString,
            )
            return rpc(request, timeout=60, **options)

        yield call


def whole(rows=ROWS):
    return [triton.InferInput("vector", list(rows.shape), "FP32").set_data_from_numpy(rows)]


def columns(rows=ROWS):
    return [
        triton.InferInput(name, [len(rows)], "FP64").set_data_from_numpy(
            rows[:, place].astype(np.float64)
        )
        for place, name in enumerate(TOY_PLAN.vector)
    ]


def infer_message(datatype="FP32", shape=(1, WIDTH), **contents):
    request = MADE["ModelInferRequest"](model_name=USE_CASE, id="mine")
    given = request.inputs.add(name="vector", datatype=datatype, shape=shape)
    for place, values in contents.items():
        getattr(given.contents, place).extend(values)
    return request


def test_a_client_sees_server_and_model(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    said = client.get_server_metadata()
    assert (said.name, list(said.extensions)) == ("throughline", ["binary_tensor_data"])
    assert client.is_model_ready(USE_CASE)
    assert client.is_model_ready(USE_CASE, "1")
    said = client.get_model_metadata(USE_CASE, "1", as_json=True)
    assert said == {
        "name": USE_CASE,
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "vector", "datatype": "FP32", "shape": ["-1", str(WIDTH)]}],
        "outputs": [{"name": "score", "datatype": "FP32", "shape": ["-1", "1"]}],
    }


@pytest.mark.parametrize("inputs", [whole(), columns()], ids=["vector", "columns"])
def test_a_client_gets_the_scores_of_the_model(client, inputs):
    answer = client.infer(
        USE_CASE, inputs, request_id="mine", outputs=[triton.InferRequestedOutput("score")]
    )
    assert answer.as_numpy("score").shape == (2, 1)
    assert answer.as_numpy("score")[:, 0].tolist() == pytest.approx(SCORES, abs=1e-6)
    said = answer.get_response()
    assert (said.model_name, said.model_version, said.id) == (USE_CASE, "1", "mine")


@pytest.mark.parametrize(
    ("datatype", "place"),
    [
        ("BOOL", "bool_contents"),
        ("INT8", "int_contents"),
        ("INT64", "int64_contents"),
        ("UINT16", "uint_contents"),
        ("UINT64", "uint64_contents"),
        ("FP32", "fp32_contents"),
        ("FP64", "fp64_contents"),
    ],
)
def test_values_may_come_in_the_place_of_their_type(call, datatype, place):
    answer = call("ModelInfer", infer_message(datatype, **{place: [1, 0, 1, 1, 0]}))
    assert not answer.raw_output_contents
    (score,) = answer.outputs[0].contents.fp32_contents
    assert score == pytest.approx(expected_score([1, 0, 1, 1, 0]), abs=1e-6)


def test_rest_and_grpc_answer_alike_and_are_counted_alike(started, client):
    process, _ = started

    def counted():
        lines = httpx.get(f"{process.url}/metrics").text.splitlines()
        wanted = 'throughline_inferred_rows_total{channel="champion",use_case="toy"} '
        return sum(float(line.removeprefix(wanted)) for line in lines if wanted in line)

    before = counted()
    by_grpc = client.infer(USE_CASE, whole()).as_numpy("score")
    said = {"name": "vector", "datatype": "FP32", "shape": [2, WIDTH]}
    data = [None if np.isnan(v) else float(v) for v in ROWS.reshape(-1)]
    by_rest = httpx.post(
        f"{process.url}/v2/models/{USE_CASE}/infer", json={"inputs": [{**said, "data": data}]}
    ).json()["outputs"][0]["data"]
    assert np.array(by_rest, dtype=np.float32).tolist() == by_grpc[:, 0].tolist()
    assert counted() == before + 4
    metrics = httpx.get(f"{process.url}/metrics").text
    assert 'route="/inference.GRPCInferenceService/ModelInfer",status="200"' in metrics


BROKEN = {
    "unknown model": ("ModelReady", MADE["ModelReadyRequest"](name="4111"), "NOT_FOUND"),
    "unknown version": (
        "ModelMetadata",
        MADE["ModelMetadataRequest"](name=USE_CASE, version="4111"),
        "NOT_FOUND",
    ),
    "nothing": ("ModelInfer", MADE["ModelInferRequest"](model_name=USE_CASE), "INVALID_ARGUMENT"),
    "no values": ("ModelInfer", infer_message(), "INVALID_ARGUMENT"),
    "half precision": (
        "ModelInfer",
        infer_message("FP16", fp32_contents=[4111] * WIDTH),
        "INVALID_ARGUMENT",
    ),
    "values twice": (
        "ModelInfer",
        MADE["ModelInferRequest"](
            model_name=USE_CASE,
            inputs=infer_message(fp32_contents=[4111] * WIDTH).inputs,
            raw_input_contents=[bytes(4 * WIDTH)],
        ),
        "INVALID_ARGUMENT",
    ),
    "another place": ("ModelInfer", infer_message(fp64_contents=[1] * WIDTH), "INVALID_ARGUMENT"),
    "beyond the type": (
        "ModelInfer",
        infer_message("INT8", int_contents=[4111] * WIDTH),
        "INVALID_ARGUMENT",
    ),
    "negative shape": (
        "ModelInfer",
        infer_message(shape=(-1, WIDTH), fp32_contents=[1] * WIDTH),
        "INVALID_ARGUMENT",
    ),
    "infinity": ("ModelInfer", infer_message(fp32_contents=[np.inf] * WIDTH), "INVALID_ARGUMENT"),
    "bytes": ("ModelInfer", infer_message("BYTES", bytes_contents=[b"4111"]), "INVALID_ARGUMENT"),
    "raw beside nothing": (
        "ModelInfer",
        MADE["ModelInferRequest"](model_name=USE_CASE, raw_input_contents=[b"4111"]),
        "INVALID_ARGUMENT",
    ),
    "long id": (
        "ModelInfer",
        MADE["ModelInferRequest"](model_name=USE_CASE, id="4111" * 100),
        "INVALID_ARGUMENT",
    ),
    "unknown output": (
        "ModelInfer",
        MADE["ModelInferRequest"](model_name=USE_CASE, outputs=[{"name": "4111"}]),
        "INVALID_ARGUMENT",
    ),
    "too large": (
        "ModelInfer",
        MADE["ModelInferRequest"](model_name=USE_CASE, raw_input_contents=[bytes(MAX_BODY_BYTES)]),
        "RESOURCE_EXHAUSTED",
    ),
}


@pytest.mark.parametrize(("name", "request_", "status"), BROKEN.values(), ids=BROKEN.keys())
def test_what_does_not_fit_is_refused_and_not_repeated(call, name, request_, status):
    with pytest.raises(grpc.RpcError) as refused:
        call(name, request_)
    assert refused.value.code() is grpc.StatusCode[status], refused.value.details()
    assert "4111" not in refused.value.details()


def test_bytes_that_are_no_message_are_refused_and_hurt_nobody(address, client):
    with grpc.insecure_channel(address) as channel:
        rpc = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        with pytest.raises(grpc.RpcError) as refused:
            rpc(b"\xff\xff\xff\xff", timeout=60)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert client.is_server_live()


def test_grpc_is_not_opened_to_others_without_keys(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    opened = OnlineProcess(
        "serving.main", layout, free_port(), GRPC__PORT=free_port(), GRPC__HOST="0.0.0.0"
    )
    assert opened.process.wait(timeout=60) == 1
    assert "open to other machines" in opened.log.read_text()


@pytest.mark.slow
def test_a_message_that_never_comes_and_a_connection_that_says_nothing_are_cut(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    port = free_port()
    limits = {"HTTP__BODY_TIMEOUT_MS": 300, "HTTP__HEADER_TIMEOUT_MS": 500}
    with service(layout, GRPC__PORT=port, **limits):
        began = time.monotonic()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            rpc = channel.stream_unary(f"/{SERVICE}/ModelInfer")
            never = threading.Event()

            def nothing():
                never.wait(60)
                yield b""

            with pytest.raises(grpc.RpcError) as refused:
                rpc(nothing(), timeout=60)
            never.set()
        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert refused.value.details().startswith("slow_body: ")
        assert time.monotonic() - began < 30
        with wire(f"http://127.0.0.1:{port}") as connection:
            assert connection.ends_within(30.0) < 30.0


def test_a_port_that_is_taken_ends_the_start_with_one_sentence_that_says_so(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = OnlineProcess("serving.main", Layout(tmp_path), free_port(), GRPC__PORT=port)
        assert process.process.wait(timeout=120) == CANNOT_START
    *_, before, last = process.log.read_text().splitlines()
    assert before == f"service: listening for gRPC on 127.0.0.1:{port}"
    assert last.startswith(f"service: gRPC cannot listen; found 127.0.0.1:{port}; end what ")


def is_cut(connection):
    """Whether the other side has gone, whatever it said before."""
    while not connection.is_silent(0) and connection.more(within_s=60):
        pass
    return connection.is_closed


def test_more_connections_than_are_taken_are_cut_and_hurt_nobody(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    port, most = free_port(), 20
    limits = {"HTTP__MAX_CONNECTIONS": most, "HTTP__KEEP_ALIVE_S": 600}
    with service(layout, GRPC__PORT=port, **limits) as process, ExitStack() as stack:
        client = stack.enter_context(triton.InferenceServerClient(f"127.0.0.1:{port}"))
        assert client.is_server_live()
        herd = [stack.enter_context(wire(f"http://127.0.0.1:{port}")) for _ in range(3 * most)]
        for connection in herd:
            connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + NO_SETTINGS)
        process.wait_until(lambda: sum(map(is_cut, herd)) > 2 * most, within_s=30)
        assert sum(map(is_cut, herd)) == 2 * most + 1  # the client has a place
        assert client.is_server_live()
        httpx.post(f"{process.url}/v1/toy/predictions", json=REQUEST).raise_for_status()


@pytest.mark.slow
def test_two_workers_share_the_port_and_end_in_good_order(tmp_path):
    layout = Layout(tmp_path).create()
    serve(layout, shelve(layout), counter=1)
    port = free_port()
    with service(layout, GRPC__PORT=port, HTTP__WORKERS=2) as process:
        deadline = time.monotonic() + 120
        for _ in range(40):  # the second may still be starting
            with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
                while not client.is_server_ready():
                    assert time.monotonic() < deadline
                answer = client.infer(USE_CASE, whole()).as_numpy("score")
                assert answer[:, 0].tolist() == pytest.approx(SCORES, abs=1e-6)
        httpx.post(f"{process.url}/v1/toy/predictions", json=REQUEST).raise_for_status()
        assert process.end() == 0
