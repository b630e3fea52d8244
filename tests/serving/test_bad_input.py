"""Bytes that no caller should send: each gets an answer of class 4xx, and never an echo."""

from __future__ import annotations

import json
import random
import socket

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from online_processes import service

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
    with httpx.Client(base_url=url, timeout=20) as client:
        yield client


def with_amount(text):
    return GOOD.replace(b"1250", text.encode())


def with_card(text):
    return GOOD.replace(b'"c1"', text.encode())


BODIES = {
    "empty": b"",
    "blank": b"   \n",
    "null": b"null",
    "number": b"17",
    "text": b'"x"',
    "list": b"[]",
    "list of lists": b"[[[[]]]]",
    "open": b"{",
    "cut": GOOD[:-1],
    "two": GOOD + GOOD,
    "comma": GOOD[:-1] + b",}",
    "comment": GOOD + b"// x",
    "single quotes": GOOD.replace(b'"', b"'"),
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "utf-16": json.dumps(REQUEST).encode("utf-16"),
    "utf-32": json.dumps(REQUEST).encode("utf-32"),
    "latin-1": with_card('"caf\xe9"'.encode("latin-1").decode("latin-1"))
    .decode()
    .encode("latin-1"),
    "broken utf-8": GOOD.replace(b"c1", b"\xff\xfe"),
    "overlong utf-8": GOOD.replace(b"c1", b"\xc0\xaf"),
    "utf-8 surrogate": GOOD.replace(b"c1", b"\xed\xa0\x80"),
    "raw control": GOOD.replace(b"c1", b"c\x01"),
    "raw zero": GOOD.replace(b"c1", b"c\x00"),
    "escaped zero": with_card('"c\\u0000"'),
    "lone high surrogate": with_card('"\\ud800"'),
    "lone low surrogate": with_card('"\\udc00"'),
    "half escape": with_card('"\\u12"'),
    "NaN": with_amount("NaN"),
    "Infinity": with_amount("Infinity"),
    "-Infinity": with_amount("-Infinity"),
    "1e999": with_amount("1e999"),
    "-1e999": with_amount("-1e999"),
    "1e308": with_amount("1e308"),
    "tiny": with_amount("1e-400"),
    "fraction": with_amount("0.5"),
    "huge": with_amount("9" * 400),
    "very huge": with_amount("9" * 100_000),
    "long fraction": with_amount("0." + "3" * 100_000),
    "beyond int64": with_amount(str(2**63)),
    "below int64": with_amount(str(-(2**63) - 1)),
    "leading zero": with_amount("01250"),
    "plus": with_amount("+1250"),
    "hex": with_amount("0x10"),
    "underscore": with_amount("1_250"),
    "true": with_amount("true"),
    "null amount": with_amount("null"),
    "text amount": with_amount('"many"'),
    "list amount": with_amount("[1250]"),
    "object amount": with_amount("{}"),
    "negative": with_amount("-1"),
    "zero": with_amount("0"),
    "too much": with_amount("10000001"),
    "empty key": with_card('""'),
    "number key": with_card("1"),
    "null key": with_card("null"),
    "list key": with_card('["c1"]'),
    "long key": with_card('"' + "c" * 65 + '"'),
    "very long key": with_card('"' + "c" * 150_000 + '"'),
    "key with spaces": with_card('"c 1"'),
    "key with a newline": with_card('"c1\\n"'),
    "unknown field": GOOD[:-1] + b', "more": 1}',
    "unknown entity": with_card('"c1", "zz": 1'),
    "no entities": b'{"inputs": {"amount_minor": 1}}',
    "entities null": b'{"entities": null, "inputs": {"amount_minor": 1}}',
    "entities list": b'{"entities": [], "inputs": {"amount_minor": 1}}',
    "no inputs": b'{"entities": {"card_id": "c1", "terminal_id": "t1"}}',
    "at word": GOOD[:-1] + b', "at": "now"}',
    "at bool": GOOD[:-1] + b', "at": true}',
    "at huge": GOOD[:-1] + b', "at": 1e300}',
    "at year 0": GOOD[:-1] + b', "at": "0000-01-01T00:00:00Z"}',
    "at year 10000": GOOD[:-1] + b', "at": 253402300800000}',
    "at month 13": GOOD[:-1] + b', "at": "2026-13-01T00:00:00Z"}',
    "key twice": GOOD[:-1] + b', "inputs": {"amount_minor": 1}}',
    "key twice below": with_amount('1, "amount_minor": 2'),
    "explain word": GOOD[:-1] + b', "explain": "yes"}',
    "explain null": GOOD[:-1] + b', "explain": null}',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 30_000,
    "deep and closed": b"[" * 50_000 + b"]" * 50_000,
    "many keys": json.dumps({f"k{n}": n for n in range(10_000)}).encode(),
    "control bytes": bytes(range(256)),
}


@pytest.mark.parametrize("path", [PREDICT, BATCH, EVENTS])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_bad_body_is_the_caller_s_fault(client, path, body):
    content = body if path == PREDICT else b'{"points": [' + body + b"]}"
    answer = client.post(path, content=body if path == EVENTS else content, headers=JSON)
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


# -- what only a socket can say ---------------------------------------------------------


def say(url, *parts, wait_s=5.0):
    """First line of the answer to raw bytes; "" where the connection was closed instead."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=wait_s) as connection:
        for part in parts:
            connection.sendall(part)
        try:
            return connection.recv(4_096).decode("latin-1").partition("\r\n")[0]
        except ConnectionResetError:
            return ""


def request_of(body, *headers):
    lines = [b"POST %b HTTP/1.1" % PREDICT.encode(), b"Host: x", b"Content-Type: application/json"]
    return b"\r\n".join([*lines, *headers, b"", body])


RAW = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    + bytes(random.Random(1).randbytes(200)),
    "no version": b"POST /v1/toy/predictions\r\n\r\n",
    "bad version": b"POST / HTTP/9.9\r\n\r\n",
    "bad method": b"P\x00ST / HTTP/1.1\r\n\r\n",
    "header without colon": b"GET /livez HTTP/1.1\r\nHost x\r\n\r\n",
    "control in header": b"GET /livez HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
    "negative length": request_of(GOOD, b"Content-Length: -5"),
    "word as length": request_of(GOOD, b"Content-Length: many"),
    "two lengths": request_of(GOOD, b"Content-Length: 5", b"Content-Length: 6"),
    "bad chunk": request_of(b"zz\r\nabc\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"),
    "huge chunk": request_of(b"ffffffffffffffffff\r\nabc", b"Transfer-Encoding: chunked"),
    "strange transfer": request_of(GOOD, b"Transfer-Encoding: gzip"),
    "huge path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "bad escape in path": b"GET /v1/%zz/x HTTP/1.1\r\nHost: x\r\n\r\n",
    "path of dots": b"GET /v1/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    "zero in path": b"GET /v1/predictions/%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    "utf-8 in path": b"GET /v1/predictions/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW.keys())
def test_bytes_that_are_no_request_get_no_5xx_and_stop_nothing(url, raw):
    line = say(url, raw, wait_s=5)
    assert line == "" or line.split()[1][0] == "4", line
    assert httpx.get(f"{url}/livez").status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(url):
    line = say(url, request_of(GOOD[:10], b"Content-Length: 500"), wait_s=5)
    assert line.startswith("HTTP/1.1 408")


def test_a_caller_that_hangs_up_stops_nothing(url):
    host, port = url.removeprefix("http://").split(":")
    for _ in range(20):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(request_of(GOOD[:10], b"Content-Length: 500"))
    assert httpx.get(f"{url}/livez").status_code == 200


def test_pipelined_garbage_does_not_hurt_the_request_before_it(url):
    good = request_of(GOOD, b"Content-Length: %d" % len(GOOD))
    assert say(url, good + b"\x00\x01garbage\r\n\r\n").startswith(("HTTP/1.1 200", "HTTP/1.1 4"))
    assert httpx.post(f"{url}{PREDICT}", content=GOOD, headers=JSON).status_code == 200


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


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from([PREDICT, BATCH, EVENTS]), tree=trees)
def test_no_json_at_all_is_answered_by_5xx(client, path, tree):
    assert client.post(path, json=tree).status_code < 500


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cut=st.integers(0, len(GOOD)),
    put=st.binary(max_size=6),
    drop=st.integers(0, 6),
)
def test_no_mangled_request_is_answered_by_5xx(client, cut, put, drop):
    body = GOOD[:cut] + put + GOOD[cut + drop :]
    assert client.post(PREDICT, content=body, headers=JSON).status_code < 500
