"""Thousands of generated requests at a real process: none is an error of ours, none hangs.

Schemathesis draws from the OpenAPI document requests that keep to it and such that break it, and
holds each answer against the document. Hypothesis draws what no document speaks of: any JSON,
good bodies with a few bytes changed, tensors of chance, and bytes that are hardly HTTP.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import httpx
import pytest
import requests
from bad_bodies import POINT
from bundles import TOY_PLAN, serve, shelve
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from online_processes import service
from tallied import Tally
from wire import request, wire

from stores.layout import Layout

pytestmark = pytest.mark.slow

WITHIN_S = 30.0
FROM_THE_DOCUMENT, JSON_TREES, MANGLED, TENSORS, RAW = 700, 1_200, 1_700, 900, 600
PREDICT, BATCH, EVENTS = "/v1/toy/predictions", "/v1/toy/predictions:batch", "/v1/events/payments"
INFER = "/v2/models/toy/infer"
TIMEOUT = "x-request-timeout-ms"
JSON = {"content-type": "application/json"}
WIDTH = len(TOY_PLAN.vector)
TALLY = Tally("generated")


def drawn(n):
    """Settings of a test that sends ``n`` requests to one process."""
    return settings(
        max_examples=n,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    limits = {"HTTP__HEADER_TIMEOUT_MS": 300, "HTTP__BODY_TIMEOUT_MS": 300}
    with service(layout, **limits) as started:
        yield started.url
        # Whatever was sent, the process is the one that was started, and well.
        assert httpx.post(started.url + PREDICT, json=POINT).status_code == 200
        metrics = httpx.get(f"{started.url}/metrics").text
        assert 'code="internal"' not in metrics
        assert 'status="5' not in metrics
    print(TALLY.said)


@pytest.fixture(scope="module")
def client(url):
    with httpx.Client(base_url=url, timeout=WITHIN_S) as client:
        yield client


def sent(client, counts, path, content, headers=JSON):
    with TALLY.asked():
        answer = client.post(path, content=content, headers=headers)
        TALLY.took(answer.status_code)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"]
    counts[answer.status_code] += 1


# -- from the document -------------------------------------------------------------------

# JSON schema cannot say that data fill a shape, that a time is not to come, that an id is new:
# there a request may keep to the document and be refused.
MORE_THAN_A_SCHEMA = ("/infer", "/events/")
# A number may come as text, which no schema of ours says; a 413 is no answer to this check.
NOT_HELD = {"negative_data_rejection"}


def test_what_the_document_tells_of_is_answered_as_it_tells(url):
    # Half a second, which every process of every run would pay for at the top.
    import schemathesis
    from schemathesis import GenerationMode
    from schemathesis.checks import CHECKS, load_all_checks

    load_all_checks()
    checks = [check for check in CHECKS.get_all() if check.__name__ not in NOT_HELD]
    document = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    counts: Counter[Any] = Counter()
    with requests.Session() as session:
        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                strategy = operation.as_strategy(generation_mode=mode)
                try:
                    answers_as_told(strategy, checks, session, counts)
                except Unsatisfiable:  # nothing about it can be broken
                    assert mode is GenerationMode.NEGATIVE
    assert sum(counts.values()) >= FROM_THE_DOCUMENT
    assert {label for label, _ in counts} == {operation.label for operation in operations}
    assert {200, 404, 422} <= {status for _, status in counts}


def answers_as_told(strategy, checks, session, counts):
    lenient = [check for check in checks if check.__name__ != "positive_data_acceptance"]

    @drawn(45)
    @given(case=strategy)
    def one(case):
        case.headers.pop(TIMEOUT, None)  # who gives no time is refused by 503, and it is no fault
        with TALLY.asked():
            answer = case.call(session=session, timeout=WITHIN_S)
            TALLY.took(answer.status_code)
        is_lenient = any(part in case.operation.path for part in MORE_THAN_A_SCHEMA)
        case.validate_response(answer, checks=lenient if is_lenient else checks)
        counts[case.operation.label, answer.status_code] += 1

    one()


# -- what no document speaks of ----------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**62, 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from(["c1", "t1", 1_250, "2026-01-01T00:00:00Z", "FP32", "vector", "score"])
)
names = st.sampled_from(
    ["entities", "inputs", "at", "explain", "points", "card_id", "terminal_id", "amount_minor",
     "event_id", "event_timestamp", "name", "datatype", "shape", "data", "parameters",
     "binary_data_size", "outputs", "id", "x"]
)  # fmt: skip
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner),
    max_leaves=12,
)


def test_no_json_at_all_is_an_error_of_ours(client):
    counts: Counter[Any] = Counter()

    @drawn(JSON_TREES)
    @given(path=st.sampled_from([PREDICT, BATCH, EVENTS, INFER]), tree=trees)
    def one(path, tree):
        sent(client, counts, path, json.dumps(tree))

    one()
    assert sum(counts.values()) >= JSON_TREES
    assert counts[422]


VECTOR = {"name": "vector", "datatype": "FP32", "shape": [1, WIDTH], "data": [1.5] * WIDTH}
EVENT = {
    "event_id": "e1",
    "event_timestamp": "2026-01-01T00:00:00Z",
    "card_id": "c1",
    "terminal_id": "t1",
    "amount_minor": 5,
}
GOOD = {PREDICT: POINT, BATCH: {"points": [POINT]}, EVENTS: [EVENT], INFER: {"inputs": [VECTOR]}}


def test_no_mangled_body_is_an_error_of_ours(client):
    counts: Counter[Any] = Counter()

    @drawn(MANGLED)
    @given(data=st.data())
    def one(data):
        path = data.draw(st.sampled_from(list(GOOD)))
        good = json.dumps(GOOD[path]).encode()
        cut = data.draw(st.integers(0, len(good)))
        drop, put = data.draw(st.integers(0, 6)), data.draw(st.binary(max_size=6))
        sent(client, counts, path, good[:cut] + put + good[cut + drop :])

    one()
    assert sum(counts.values()) >= MANGLED
    assert {200, 400, 422} <= set(counts)


def test_no_tensor_of_chance_is_an_error_of_ours(client):
    counts: Counter[Any] = Counter()
    sizes = st.integers(-2, 60) | st.sampled_from([2**31, 2**63, 2**70, "20", None, True])

    @drawn(TENSORS)
    @given(
        datatype=st.sampled_from(["FP16", "FP32", "FP64", "INT8", "UINT64", "BOOL", "BYTES", ""]),
        shape=st.lists(st.integers(-1, 6) | st.sampled_from([2**40, 2**70]), max_size=3),
        size=sizes,
        tail=st.binary(max_size=64),
        said=st.none() | st.integers(-5, 400) | st.text(max_size=5),
        is_true=st.booleans(),
    )
    def one(datatype, shape, size, tail, said, is_true):
        if is_true:  # nearly right
            datatype, shape, size, tail = "FP32", [1, WIDTH], len(tail), tail
        given_ = {"name": "vector", "datatype": datatype, "shape": shape,
                  "parameters": {"binary_data_size": size}}  # fmt: skip
        head = json.dumps({"inputs": [given_]}).encode()
        length = str(len(head)) if is_true or said is None else str(said)
        headers = {"Inference-Header-Content-Length": length.encode("utf-8")}
        try:
            sent(client, counts, INFER, head + tail, headers)
        except httpx.LocalProtocolError:  # the client will not say that
            sent(client, counts, INFER, head + tail)

    one()
    assert sum(counts.values()) >= TENSORS


def test_no_bytes_on_a_connection_are_an_error_of_ours(url):
    counts: Counter[Any] = Counter()
    good = request(json.dumps(POINT).encode())

    @drawn(RAW)
    @given(
        cut=st.integers(0, 160),
        drop=st.integers(0, 20),
        put=st.binary(max_size=12)
        | st.sampled_from([b"\r\n", b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b": ", b"\0"]),
    )
    def one(cut, drop, put):
        with wire(url) as connection:
            with TALLY.asked():
                connection.send(good[:cut] + put + good[cut + drop :])
                connection.half_close()
                answer = connection.answer_or_end(WITHIN_S)
                status = answer.status if answer else 0
                TALLY.took(status)
                connection.ends_within(WITHIN_S)
            counts[status] += 1
            assert status < 500

    one()
    assert sum(counts.values()) >= RAW
    assert counts[400]


def test_all_parts_together_are_more_than_five_thousand():
    assert FROM_THE_DOCUMENT + JSON_TREES + MANGLED + TENSORS + RAW >= 5_000
