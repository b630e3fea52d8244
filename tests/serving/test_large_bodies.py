"""A body that is not taken: its sender must be able to read why, however it sends."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import httpx
import pytest
from bundles import REQUEST, serve, shelve
from online_processes import service

from serving.transport.parting import MAX_DROPPED_BYTES
from stores.layout import Layout

PREDICT = "/v1/toy/predictions"
JSON = {"content-type": "application/json"}
LARGE = b"x" * (20 << 20)
PIECE = b"x" * 65_536
MAX_BODY_BYTES = 100_000
IN_KERNEL_BYTES = 16 << 20


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    settings = {"HTTP__MAX_BODY_BYTES": MAX_BODY_BYTES, "HTTP__BODY_TIMEOUT_MS": 2_000}
    with service(layout, **settings) as started:
        yield started.url


def address_of(url):
    host, port = url.removeprefix("http://").split(":")
    return host, int(port)


def connected(url):
    host, port = address_of(url)
    return http.client.HTTPConnection(host, port, timeout=60)


def by_http_client(url, body, **headers):
    connection = connected(url)
    try:
        connection.request("POST", PREDICT, body=body, headers={**JSON, **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["code"], answer.headers["connection"]
    finally:
        connection.close()


@pytest.mark.parametrize("after", ["close", "keep-alive"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_who_sends_20_mb_and_reads_then_is_told_413(url, is_chunked, after):
    for _ in range(3):  # a reset that overtakes the answer does not do so every time
        body = iter([PIECE] * (len(LARGE) // len(PIECE))) if is_chunked else LARGE
        assert by_http_client(url, body, connection=after) == (413, "too_large", "close")


def test_urllib_is_told_413(url):
    request = urllib.request.Request(url + PREDICT, data=LARGE, headers=JSON)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert (refused.value.code, json.loads(refused.value.read())["code"]) == (413, "too_large")


@pytest.mark.parametrize("is_chunked", [False, True])
def test_httpx_is_told_413(url, is_chunked):
    content = iter([PIECE] * 320) if is_chunked else LARGE
    answer = httpx.post(url + PREDICT, content=content, headers=JSON, timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    "header", ["Expect:", "Expect: 100-continue", "Transfer-Encoding: chunked"]
)
def test_curl_is_told_413(url, tmp_path, header):
    (tmp_path / "body").write_bytes(LARGE)
    told = ["-s", "-w", "\n%{http_code}", "-H", "Content-Type: application/json", "-H", header]
    command = ["curl", *told, "--data-binary", f"@{tmp_path / 'body'}", url + PREDICT]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    body, status = done.stdout.split("\n")
    assert (status, json.loads(body)["code"]) == ("413", "too_large")


def test_a_type_that_is_not_taken_is_told_to_a_sender_of_20_mb(url):
    headers = {"content-type": "text/csv", "connection": "close"}
    assert by_http_client(url, LARGE, **headers)[:2] == (415, "unsupported_media_type")


def head(*lines):
    start = [f"POST {PREDICT} HTTP/1.1", "Host: x", "Content-Type: application/json"]
    return "\r\n".join([*start, *lines, "", ""]).encode()


def test_a_length_that_is_too_large_is_answered_before_the_body_comes(url):
    with socket.create_connection(address_of(url), timeout=60) as connection:
        connection.sendall(head(f"Content-Length: {len(LARGE)}"))
        assert connection.recv(4_096).startswith(b"HTTP/1.1 413")


def bytes_taken(connection):
    """How many bytes of a body without end the service took before it closed."""
    piece = b"%x\r\n%b\r\n" % (len(PIECE), PIECE)
    for n_sent in range(0, 4 * MAX_DROPPED_BYTES, len(piece)):
        try:
            connection.sendall(piece)
        except ConnectionError:
            return n_sent
    raise AssertionError("a body without end was never cut off")


def test_a_body_without_end_is_cut_off(url):
    with socket.create_connection(address_of(url), timeout=60) as connection:
        connection.sendall(head("Transfer-Encoding: chunked"))
        n_taken = bytes_taken(connection)
    assert MAX_DROPPED_BYTES < n_taken < MAX_DROPPED_BYTES + MAX_BODY_BYTES + IN_KERNEL_BYTES
    assert httpx.get(f"{url}/livez").status_code == 200


def test_a_refused_body_that_never_comes_does_not_hold_the_connection(url):
    with socket.create_connection(address_of(url), timeout=60) as connection:
        connection.sendall(head(f"Content-Length: {len(LARGE)}"))
        began_s = time.monotonic()
        while connection.recv(4_096):
            pass
        assert time.monotonic() - began_s < 10


def test_the_connection_of_a_body_that_was_read_is_kept(url):
    connection = connected(url)
    for _ in range(2):
        connection.request("POST", PREDICT, body=json.dumps(REQUEST), headers=JSON)
        answer = connection.getresponse()
        assert (answer.status, answer.headers["connection"]) == (200, None)
        answer.read()
    connection.close()
