"""Input that no caller should send: each gets an answer of class 4xx, and never an echo."""

from __future__ import annotations

import json

import httpx
import pytest
from bad_bodies import BODIES
from bundles import REQUEST, serve, shelve
from example_counts import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from online_processes import service
from wire import request, wire

from stores.layout import Layout

PREDICT = "/v1/toy/predictions"
BATCH = "/v1/toy/predictions:batch"
EVENTS = "/v1/events/payments"
JSON = {"content-type": "application/json"}
GOOD = json.dumps(REQUEST).encode()
SECRET = "4111-1111-1111-1111"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    with service(layout, HTTP__MAX_BODY_BYTES=200_000, HTTP__BODY_TIMEOUT_MS=400) as started:
        yield started.url


@pytest.fixture(scope="module")
def client(url):
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.mark.parametrize("path", [BATCH, EVENTS])
@pytest.mark.parametrize("body", [body for body, _ in BODIES.values()], ids=BODIES.keys())
def test_a_bad_body_is_the_caller_s_fault(client, path, body):
    content = b'{"points": [' + body + b"]}" if path == BATCH else body
    answer = client.post(path, content=content, headers=JSON)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"]


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/plain",
        "application/xml",
        "application/json; charset=latin-1",
        "json",
        "a/b/c",
        ";",
    ],
)
def test_another_type_is_not_taken(client, media_type):
    answer = client.post(PREDICT, content=GOOD, headers={"content-type": media_type})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "Application/JSON", 'application/json; charset="UTF-8"'],
)
def test_json_is_taken_however_it_is_spelt(client, media_type):
    answer = client.post(PREDICT, content=GOOD, headers={"content-type": media_type})
    assert answer.status_code == 200


def test_a_compressed_body_is_not_taken(client):
    answer = client.post(PREDICT, content=GOOD, headers={**JSON, "content-encoding": "gzip"})
    assert answer.status_code == 415


def test_a_body_that_is_too_large_is_refused_before_it_is_read(client):
    answer = client.post(PREDICT, content=b"x" * 200_001, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_body_that_hides_its_size_is_refused_too(client):
    answer = client.post(PREDICT, content=(b"x" * 10_000 for _ in range(50)), headers=JSON)
    assert answer.status_code == 413


def test_what_was_sent_is_never_repeated(client):
    bodies = [
        {"entities": {"card_id": f"{SECRET} ", "terminal_id": 1}, "inputs": {}},
        {"entities": {SECRET: 1}, "inputs": {SECRET: 2}, SECRET: 3, "at": SECRET},
        {"points": [{SECRET: SECRET}]},
        {"event_id": SECRET, SECRET: SECRET},
        [{"event_id": SECRET, "event_timestamp": SECRET, SECRET: 1}],
        SECRET,
    ]
    for path in (PREDICT, BATCH, EVENTS, f"/v1/{SECRET}/predictions", f"/v1/events/{SECRET}"):
        for body in bodies:
            assert SECRET not in client.post(path, json=body).text
    assert SECRET not in client.get(f"/v1/predictions/{SECRET}").text
    assert SECRET not in client.get(f"/{SECRET}").text


def test_a_caller_that_hangs_up_stops_nothing(url):
    for _ in range(20):
        with wire(url) as connection:
            connection.send(request(GOOD[:10], b"Content-Length: 500"))
    assert httpx.get(f"{url}/livez").status_code == 200


# -- what nobody thought of -------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**62, 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from(["c1", "t1", 1_250, "2026-01-01T00:00:00Z"])
)
names = st.sampled_from(
    ["entities", "inputs", "at", "explain", "points", "card_id", "terminal_id", "amount_minor",
     "event_id", "event_timestamp", "x"]
)  # fmt: skip
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner),
    max_leaves=12,
)


# Thousands of either are sent where requests are generated.
@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(path=st.sampled_from([PREDICT, BATCH, EVENTS]), tree=trees)
def test_no_json_at_all_is_answered_by_5xx(client, path, tree):
    assert client.post(path, json=tree).status_code < 500


@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    cut=st.integers(0, len(GOOD)),
    put=st.binary(max_size=6),
    drop=st.integers(0, 6),
)
def test_no_mangled_request_is_answered_by_5xx(client, cut, put, drop):
    body = GOOD[:cut] + put + GOOD[cut + drop :]
    assert client.post(PREDICT, content=body, headers=JSON).status_code < 500
