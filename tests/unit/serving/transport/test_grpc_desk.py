"""Before and behind an RPC: gate, deadline, statuses of errors; no server."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from every_error import all_errors, an
from prometheus_client import CollectorRegistry

from core.access import RateLimit, parsed_scopes
from core.clock import FixedClock
from core.errors import ConfigurationError, IntegrityError
from orchestration.processes import free_port
from serving.access import Access
from serving.engine.gate import FEW, Gate
from serving.engine.inference import Inference
from serving.models.releases import Releases
from serving.process import authority
from serving.settings import GrpcSettings, HttpSettings
from serving.telemetry.metrics import Telemetry
from serving.transport.grpc_inference import STATUS, Desk, code_of, in_words, listening
from serving.transport.problems import status_of
from stores.keys.access_keys import AccessKeyFile


class AbortedError(Exception):
    pass


class Context:
    """What grpc hands to a handler, as far as it is asked."""

    def __init__(self, left_s=None, sent=b"", shown=()):
        self.shown = shown
        self.left_s = left_s
        self.ended = None
        self.sent = sent

    async def read(self):
        if self.sent is None:
            await asyncio.sleep(10)
        return self.sent

    def invocation_metadata(self):
        return (("x-request-id", "mine"), *self.shown)

    def set_trailing_metadata(self, metadata):
        self.trailing = dict(metadata)

    def time_remaining(self):
        return self.left_s

    def peer(self):
        return "ipv4:127.0.0.1:1"

    async def abort(self, code, said):
        self.ended = code, said
        raise AbortedError


class Message:
    name = "toy"


@pytest.fixture
def gate():
    return Gate(FixedClock(0), most=FEW, patience_ms=50)


@pytest.fixture
def desk(gate, tmp_path):
    clock = FixedClock(0)
    access = Access(AccessKeyFile(tmp_path / "access"), clock, print, n_workers=1)
    return Desk(gate, access, Telemetry(CollectorRegistry()), clock, patience_ms=50)


def called(desk, behaviour, context=None, name="ModelReady"):
    context = context or Context()
    handler = desk.guarded(name, lambda sent: Message(), behaviour)
    try:
        return asyncio.run(handler(None, context)), context
    except AbortedError:
        return None, context


async def answer(request, grant):
    return "answer"


def test_a_call_is_inside_while_it_is_answered(desk, gate):
    seen = []

    async def look(request, grant):
        seen.append(gate.n_inside)
        return "answer"

    found, context = called(desk, look)
    assert (found, seen, gate.n_inside) == ("answer", [1], 0)
    assert context.trailing["x-request-id"] == b"mine"


def test_who_comes_when_all_places_are_taken_is_sent_away_and_health_is_answered(desk, gate):
    for _ in range(FEW):
        gate.enter()
    _, context = called(desk, answer)
    assert context.ended[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert context.ended[1].startswith("busy: ")
    assert context.trailing == {"x-request-id": b"mine", "retry-after": b"1"}
    assert gate.n_inside == FEW
    assert called(desk, answer, name="ServerReady")[0] == "answer"


def test_a_deadline_that_cannot_be_kept_is_refused_at_once(desk, gate, monkeypatch, caplog):
    monkeypatch.setattr(Gate, "expected_s", property(lambda gate: 0.2))
    _, context = called(desk, answer, Context(left_s=0.1))
    assert context.ended[1].startswith("late: ")
    assert caplog.messages == []  # nobody's fault, as over REST
    assert called(desk, answer, Context(left_s=1.0))[0] == "answer"


def test_whoever_has_spent_its_rate_hears_when_to_come_back(gate, tmp_path):
    clock, file = FixedClock(0), AccessKeyFile(tmp_path / "access")
    key = file.create(
        owner="x", scopes=parsed_scopes(["*:predict"]), now_ms=0, who="ada", why="",
        rate=RateLimit(per_s=0.1, burst=1),
    )  # fmt: skip
    access = Access(file, clock, print, n_workers=1)
    desk = Desk(gate, access, Telemetry(CollectorRegistry()), clock, patience_ms=50)
    shown = (("authorization", f"Bearer {key}"),)
    answered, first = called(desk, answer, Context(shown=shown))
    _, second = called(desk, answer, Context(shown=shown))
    assert (answered, first.trailing) == ("answer", {"x-request-id": b"mine"})
    assert second.ended[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert second.trailing == {"x-request-id": b"mine", "retry-after": b"10"}


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [(None, "DEADLINE_EXCEEDED", "slow_body"), (grpc.aio.EOF, "INVALID_ARGUMENT", "malformed")],
)
def test_a_message_that_does_not_come_is_not_waited_for(desk, sent, status, code):
    _, context = called(desk, answer, Context(sent=sent))
    assert context.ended[0] is grpc.StatusCode[status]
    assert context.ended[1].startswith(f"{code}: ")


def test_whoever_shows_several_keys_is_refused_as_over_rest(gate, tmp_path):
    clock, file = FixedClock(0), AccessKeyFile(tmp_path / "access")
    scopes = parsed_scopes(["*:predict"])
    key = file.create(owner="x", scopes=scopes, now_ms=0, who="ada", why="")
    access = Access(file, clock, print, n_workers=1)
    desk = Desk(gate, access, Telemetry(CollectorRegistry()), clock, patience_ms=50)
    shown = ("authorization", f"Bearer {key}")
    assert called(desk, answer, Context(shown=[shown]))[0] == "answer"
    _, context = called(desk, answer, Context(shown=[shown, shown]))
    assert context.ended[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert context.ended[1].startswith("several_keys: ")


def test_a_call_that_grpc_has_ended_already_leaves_no_line_in_the_log(desk):
    """Whoever sends messages that are too large once unpacked would else fill it."""

    class Over(Context):
        async def abort(self, code, said):
            raise grpc.aio.InternalError("the batch failed")

    with pytest.raises(asyncio.CancelledError):  # grpc's servers say nothing of that one
        called(desk, answer, Over(sent=grpc.aio.EOF))


def test_an_error_that_nobody_foresaw_says_nothing_of_itself(desk, gate, caplog):
    async def fail(request, grant):
        raise ValueError("4111-1111")

    _, context = called(desk, fail)
    assert context.ended == (grpc.StatusCode.INTERNAL, "an internal error")
    assert gate.n_inside == 0


@pytest.mark.parametrize("error", all_errors())
def test_every_error_has_a_status_that_agrees_with_that_of_rest(desk, error):
    async def fail(request, grant):
        raise an(error)

    _, context = called(desk, fail)
    code, said = context.ended
    assert code is code_of(an(error))
    assert said == in_words(an(error))
    assert said.startswith(f"{error.code}: ")
    is_ours = status_of(an(error)) == 500
    assert is_ours == (code is grpc.StatusCode.INTERNAL)


def test_the_table_has_every_family():
    assert code_of(IntegrityError("damaged")) is grpc.StatusCode.INTERNAL
    assert set(STATUS) <= set(all_errors())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_of_either_kind_is_listened_on_by_one_alone(desk, host):
    settings = GrpcSettings(host=host, port=free_port())
    inference = Inference(Releases(), Telemetry(CollectorRegistry()))

    async def listened():
        async with listening(settings, HttpSettings(), inference, desk):
            where = authority(host, settings.port)
            async with grpc.aio.insecure_channel(where) as channel:
                await asyncio.wait_for(channel.channel_ready(), 60)
            with pytest.raises(ConfigurationError, match="gRPC cannot listen"):
                await listening(settings, HttpSettings(), inference, desk).__aenter__()

    asyncio.run(listened())
