"""The Open Inference Protocol over REST, asked by its public client at a real process."""

from __future__ import annotations

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from bundles import REQUEST, TOY_PLAN, USE_CASE, expected_score, serve, shelve
from online_processes import service
from tritonclient.utils import InferenceServerException

from stores.layout import Layout

WIDTH = len(TOY_PLAN.vector)
ROWS = np.array([[1_250, 2, 3.5, 0.25, np.nan], [1, 0, 0, 0, 5_000]], dtype=np.float32)
SCORES = [expected_score([None if np.isnan(v) else float(v) for v in row]) for row in ROWS]
INFER = f"/v2/models/{USE_CASE}/infer"


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    return layout


@pytest.fixture(scope="module")
def started(layout):
    with service(layout) as process:
        yield process


@pytest.fixture(scope="module")
def client(started):
    with triton.InferenceServerClient(started.url.removeprefix("http://")) as client:
        yield client


def whole(rows=ROWS, *, binary=True):
    given = triton.InferInput("vector", list(rows.shape), "FP32")
    return [given.set_data_from_numpy(rows, binary_data=binary)]


def columns(rows=ROWS, *, binary=True):
    return [
        triton.InferInput(name, [len(rows)], "FP32").set_data_from_numpy(
            rows[:, place].copy(), binary_data=binary
        )
        for place, name in enumerate(TOY_PLAN.vector)
    ]


def test_a_client_sees_server_and_model(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert client.is_model_ready(USE_CASE)
    assert client.is_model_ready(USE_CASE, "1")
    assert not client.is_model_ready(USE_CASE, "2")
    assert not client.is_model_ready("other")
    said = client.get_model_metadata(USE_CASE)
    assert said["inputs"][0]["shape"] == [-1, WIDTH]
    assert said["outputs"] == [{"name": "score", "datatype": "FP32", "shape": [-1, 1]}]


@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("inputs", [whole(), columns(), columns(ROWS[1:])])
def test_a_client_gets_the_scores_of_the_model(client, inputs, binary_out):
    outputs = (
        None
        if binary_out is None
        else [triton.InferRequestedOutput("score", binary_data=binary_out)]
    )
    answer = client.infer(USE_CASE, inputs, outputs=outputs, request_id="mine")
    n_rows = inputs[0].shape()[0]
    assert answer.as_numpy("score").shape == (n_rows, 1)
    assert answer.as_numpy("score")[:, 0].tolist() == pytest.approx(SCORES[-n_rows:], abs=1e-6)
    said = answer.get_response()
    assert (said["model_name"], said["model_version"], said["id"]) == (USE_CASE, "1", "mine")


def test_a_client_may_send_json_and_name_the_version(client):
    rows = ROWS[1:]  # tritonclient's JSON cannot say null
    for inputs in (whole(rows, binary=False), columns(rows, binary=False)):
        answer = client.infer(USE_CASE, inputs, model_version="1")
        assert answer.as_numpy("score")[0, 0] == pytest.approx(SCORES[1], abs=1e-6)


def test_a_client_that_compresses_is_told_that_it_may_not(client):
    with pytest.raises(InferenceServerException, match="encoding is not taken"):
        client.infer(USE_CASE, whole(), request_compression_algorithm="gzip")


def test_a_client_reads_why_it_was_refused(client):
    with pytest.raises(InferenceServerException, match="no such use case is served") as refused:
        client.infer("other", whole())
    assert refused.value.status() == "404"
    with pytest.raises(InferenceServerException, match="does not fit its contract"):
        client.infer(USE_CASE, whole(ROWS[:, :2].copy()))
    with pytest.raises(InferenceServerException, match="not in memory"):
        client.infer(USE_CASE, whole(), model_version="7")
    with pytest.raises(InferenceServerException, match="not found"):
        client.get_model_config(USE_CASE)


def test_a_problem_below_v2_has_the_word_of_the_protocol_too(started):
    for path in (INFER, "/v2/models/other/infer", "/v2/models/toy/versions/9/infer", "/v2/nothing"):
        answer = httpx.post(started.url + path, json={"inputs": []})
        assert 400 <= answer.status_code < 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["error"] == answer.json().get("detail", answer.json()["title"])
    assert "error" not in httpx.post(f"{started.url}/v1/toy/predictions", json={}).json()


def test_model_only_inference_is_counted_and_not_recorded(client, layout, started):
    def counted():
        lines = httpx.get(f"{started.url}/metrics").text.splitlines()
        wanted = 'throughline_inferred_rows_total{channel="champion",use_case="toy"} '
        return sum(float(line.removeprefix(wanted)) for line in lines if wanted in line)

    before = counted()
    client.infer(USE_CASE, whole())
    assert counted() == before + 2
    kept = [path for path in layout.root.glob("records/**/*") if path.is_file()]
    assert all(path.stat().st_size == 0 for path in kept)
    httpx.post(f"{started.url}/v1/toy/predictions", json=REQUEST).raise_for_status()
    kept = [path for path in layout.root.glob("records/**/*") if path.is_file()]
    assert any(path.stat().st_size for path in kept)


def test_grpc_is_off_unless_asked_for(started):
    assert "gRPC" not in started.log.read_text()
