"""The corpus of bad bytes over raw sockets: a stable answer to each, in time, and no echo."""

from __future__ import annotations

import time

import httpx
import pytest
from bad_bodies import BODIES, GOOD, MARK
from bad_messages import MESSAGES, Message
from bundles import serve, shelve
from online_processes import service
from tallied import Tally
from wire import Answer, Wire, request, wire

from stores.layout import Layout

HEADER_S = BODY_S = 0.5
WITHIN_S = 30.0
TALLY = Tally("cases")
LIMITS = {
    "HTTP__MAX_BODY_BYTES": 200_000,
    "HTTP__HEADER_TIMEOUT_MS": int(HEADER_S * 1_000),
    "HTTP__BODY_TIMEOUT_MS": int(BODY_S * 1_000),
}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("home")).create()
    serve(layout, shelve(layout), counter=1)
    with service(layout, **LIMITS) as process:
        yield process.url
    print(TALLY.said)


def sent(connection: Wire, message: Message) -> Answer | None:
    """The answer to a message; None where the connection ended without one."""
    with TALLY.asked():
        answer = exchanged(connection, message)
        TALLY.took(answer.status if answer else 0)
    return answer


def exchanged(connection: Wire, message: Message) -> Answer | None:
    for part in message.parts:
        if isinstance(part, float):
            time.sleep(part)
        elif not connection.send(part):
            break  # refused before all was sent
    if message.is_ended:
        connection.half_close()
    return connection.answer_or_end(WITHIN_S)


def assert_told(answer: Answer | None, status: int, code: str) -> None:
    if status == 0:
        assert answer is None
        return
    assert answer is not None, "no answer"
    assert (answer.status, answer.json().get("code", "")) == (status, code)
    assert MARK.encode() not in answer.body
    assert answer.headers["x-request-id"]
    assert answer.headers.get("x-request-id") != MARK
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


def assert_unhurt(url: str) -> None:
    with wire(url) as connection:
        connection.send(request(GOOD))
        assert connection.answer(WITHIN_S).status == 200


@pytest.mark.parametrize(("body", "code"), BODIES.values(), ids=BODIES.keys())
def test_a_bad_body_gets_its_code(url, body, code):
    with wire(url) as connection:
        answer = sent(connection, Message((request(body),), 0))
        assert_told(answer, 422 if code == "contract" else 400, code)
        connection.send(request(GOOD))  # a bad body costs nobody the connection
        assert connection.answer(WITHIN_S).status == 200
    assert_unhurt(url)


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
def test_a_bad_message_gets_its_code_or_an_end(url, message):
    with wire(url) as connection:
        assert_told(sent(connection, message), message.status, message.code)
    assert_unhurt(url)


UNDECLARED = {
    "/v1/events/payments": [
        b'{"mark4111": 1}',
        b'[{"event_id": "e", "mark4111": "mark4111"}, {"mark4111": {}}]',
        b'[{"event_id": "mark4111", "event_timestamp": "mark4111"}]',
    ],
    "/v1/toy/predictions:batch": [b'{"points": [{"mark4111": 1}]}', b'{"mark4111": []}'],
    "/v2/models/toy/infer": [b'{"mark4111": 1}', b'{"inputs": [{"mark4111": 1}]}'],
}


@pytest.mark.parametrize(
    ("path", "body"), [(path, body) for path, bodies in UNDECLARED.items() for body in bodies]
)
def test_a_name_that_nobody_declared_is_not_repeated(url, path, body):
    with wire(url) as connection:
        message = Message((request(body, path=path.encode()),), 422, "contract")
        assert_told(sent(connection, message), message.status, message.code)


def test_the_corpus_is_large_and_every_sort_is_in_it():
    assert len(BODIES) + len(MESSAGES) >= 240
    codes = {message.code for message in MESSAGES.values()}
    assert {"malformed_request", "headers_too_large", "slow_headers", "slow_body"} <= codes
    assert {"too_large", "unsupported_media_type", "duplicate_key", "contract"} <= codes


def test_nothing_of_the_corpus_was_an_error_of_ours(url):
    told = httpx.get(f"{url}/metrics").text.splitlines()
    ours = [line for line in told if 'status="5' in line or 'code="internal"' in line]
    # On a busy machine it was asked whether it was ready before it was.
    assert [line for line in ours if 'route="/readyz"' not in line] == []
