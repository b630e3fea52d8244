"""Keys in the Open Inference Protocol, over both of its transports, asked by its public clients."""

from __future__ import annotations

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from access_keys import inference_keys
from bundles import TOY_PLAN, USE_CASE, serve, shelve
from online_processes import service
from tritonclient.utils import InferenceServerException

from orchestration.processes import free_port
from stores.layout import Layout

ROWS = np.ones((2, len(TOY_PLAN.vector)), dtype=np.float32)
TRANSPORTS = {
    "http": (tritonclient.http, "Authorization", "401", "403", "429"),
    "grpc": (
        tritonclient.grpc,
        "authorization",
        "StatusCode.UNAUTHENTICATED",
        "StatusCode.PERMISSION_DENIED",
        "StatusCode.RESOURCE_EXHAUSTED",
    ),
}


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    return layout


@pytest.fixture(scope="module")
def keys(layout):
    return {transport: inference_keys(layout) for transport in TRANSPORTS}


@pytest.fixture(scope="module")
def addresses(layout, keys):
    del keys  # made before the service starts
    grpc_port = free_port()
    with service(layout, GRPC__PORT=grpc_port) as process:
        yield {"http": process.url.removeprefix("http://"), "grpc": f"127.0.0.1:{grpc_port}"}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_keys_open_models_by_the_scope_predict_and_each_row_counts(addresses, keys, transport):
    triton, header, unknown, out_of_scope, too_many = TRANSPORTS[transport]
    given = [triton.InferInput("vector", list(ROWS.shape), "FP32").set_data_from_numpy(ROWS)]
    with triton.InferenceServerClient(addresses[transport]) as client:
        assert client.is_server_ready()

        def ask(text):
            headers = {} if text is None else {header: f"Bearer {text}"}
            return client.infer(USE_CASE, given, headers=headers)

        opens, other, slow = keys[transport]
        ask(opens)
        ask(slow)
        for text, status in (
            (None, unknown),
            ("tl_x_y", unknown),
            (other, out_of_scope),
            (slow, too_many),
        ):
            with pytest.raises(InferenceServerException) as refused:
                ask(text)
            assert refused.value.status() == status
