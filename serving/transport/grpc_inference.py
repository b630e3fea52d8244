"""The Open Inference Protocol over gRPC: the same models, keys and refusals as over REST.

Imported only where gRPC is asked for: it and its messages take time and memory at a start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import unquote

import grpc
import grpc.aio
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from core.access import Verb
from core.clock import Clock
from core.errors import (
    ConfigurationError,
    DependencyError,
    IntegrityError,
    InvalidInputError,
    NotReadyError,
    OverloadedError,
    PlatformError,
)
from serving.access import Access, Asked, Grant
from serving.engine.deadline import Deadline
from serving.engine.gate import Gate
from serving.engine.inference import SERVER, Inference
from serving.engine.tensors import MAX_ID, SCORE_TYPE, Tensor, check_output, fault, tensor
from serving.errors import (
    ConflictError,
    MalformedBodyError,
    NoKeyError,
    NotFoundError,
    OutOfScopeError,
    SlowBodyError,
)
from serving.process import authority
from serving.settings import GrpcSettings, HttpSettings
from serving.telemetry.log_lines import tell_failed
from serving.telemetry.metrics import Telemetry
from serving.telemetry.repeats import Repeats
from serving.telemetry.tracing import current, trace_of
from serving.transport.crowding import busy
from serving.transport.inference_proto import METHODS, SERVICE, messages
from serving.transport.problems import is_fault, retry_after_s, status_of
from stores.shelf.bundle import MODEL_OUTPUT

STATUS: dict[type[PlatformError], grpc.StatusCode] = {
    PlatformError: grpc.StatusCode.INTERNAL,
    ConfigurationError: grpc.StatusCode.INTERNAL,
    IntegrityError: grpc.StatusCode.INTERNAL,
    InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    NoKeyError: grpc.StatusCode.UNAUTHENTICATED,
    OutOfScopeError: grpc.StatusCode.PERMISSION_DENIED,
    SlowBodyError: grpc.StatusCode.DEADLINE_EXCEEDED,
    ConflictError: grpc.StatusCode.ALREADY_EXISTS,
    NotReadyError: grpc.StatusCode.UNAVAILABLE,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    DependencyError: grpc.StatusCode.UNAVAILABLE,
}
_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
"""Where values of a datatype stand that are not raw bytes; FP16 has no such place."""

Read = Callable[[bytes], Any]
Behaviour = Callable[[Any, Grant], Awaitable[Any]]


class GrpcInference:
    """One method an RPC; each takes a message and what its sender may do."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        self._made = messages()

    def server_live(self) -> Behaviour:
        """The process runs."""
        return self._always("ServerLiveResponse", lambda: {"live": True})

    def server_ready(self) -> Behaviour:
        """Any model can be asked."""
        return self._always("ServerReadyResponse", lambda: {"ready": self._inference.is_ready()})

    def server_metadata(self) -> Behaviour:
        """What this server is."""
        return self._always("ServerMetadataResponse", lambda: SERVER)

    async def model_ready(self, request: Any, grant: Grant) -> Any:
        """A model is in memory."""
        del grant
        self._inference.metadata(request.name, request.version)
        return self._made["ModelReadyResponse"](ready=True)

    async def model_metadata(self, request: Any, grant: Grant) -> Any:
        """What a model takes and answers."""
        del grant
        said = self._inference.metadata(request.name, request.version)
        for each in said["inputs"]:
            del each["parameters"]  # the protocol has no place for the names of columns here
        return self._made["ModelMetadataResponse"](**said)

    async def model_infer(self, request: Any, grant: Grant) -> Any:
        """Scores of the vectors in a message, raw where its tensors are."""
        if len(request.id) > MAX_ID:
            raise fault("/id", "too_long", f"must be at most {MAX_ID} characters")
        for index, output in enumerate(request.outputs):
            check_output(f"/outputs/{index}", output.name, output.parameters)
        tensors = _tensors(request)
        grant.charge(max((len(each.values) for each in tensors), default=0))
        name = request.model_name
        version, scores = await self._inference.infer(name, request.model_version, tensors)
        answer = self._made["ModelInferResponse"](
            model_name=name, model_version=version, id=request.id
        )
        output = answer.outputs.add(name=MODEL_OUTPUT, datatype=SCORE_TYPE, shape=[len(scores), 1])
        if request.raw_input_contents:
            answer.raw_output_contents.append(scores.astype("<f4", copy=False).tobytes())
        else:
            output.contents.fp32_contents.extend(scores.tolist())
        return answer

    def handler(self, guarded: Callable[[str, Read, Behaviour], Any]) -> grpc.GenericRpcHandler:
        """All RPCs, each guarded."""
        behaviours: dict[str, Behaviour] = {
            "ServerLive": self.server_live(),
            "ServerReady": self.server_ready(),
            "ServerMetadata": self.server_metadata(),
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": self.model_infer,
        }
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                # As a stream of one, so that the message has a clock while it comes.
                name: grpc.stream_unary_rpc_method_handler(
                    guarded(name, self._made[asked].FromString, behaviours[name]),
                    response_serializer=self._made[answered].SerializeToString,
                )
                for name, (asked, answered) in METHODS.items()
            },
        )

    def _always(self, answer: str, facts: Callable[[], dict[str, Any]]) -> Behaviour:
        async def behaviour(request: Any, grant: Grant) -> Any:
            del request, grant
            return self._made[answer](**facts())

        return behaviour


class Desk:
    """Gate and keys before each RPC, its errors as statuses behind it, and its time."""

    def __init__(
        self, gate: Gate, access: Access, telemetry: Telemetry, clock: Clock, *, patience_ms: int
    ) -> None:
        self._gate = gate
        self._access = access
        self._telemetry = telemetry
        self._clock = clock
        self._repeats = Repeats(clock)
        self._patience_s = patience_ms / 1_000

    def guarded(self, name: str, read: Read, behaviour: Behaviour) -> Any:
        """The behaviour as grpc calls it, with the bytes of a message."""
        verb: Verb | None = "predict" if name.startswith("Model") else None
        route = f"/{SERVICE}/{name}"

        async def called(_messages: Any, context: Any) -> Any:
            start_s = self._clock.monotonic_s()
            trace = trace_of([(k.encode(), _bytes(v)) for k, v in context.invocation_metadata()])
            current.set(trace)
            trailing = [(k.decode(), v) for k, v in trace.headers()]
            context.set_trailing_metadata(trailing)
            status, code = 200, grpc.StatusCode.OK
            answer, said = None, ""
            try:
                request = read_message(await self._sent(context), read)
                if verb is None:
                    answer = await behaviour(request, Grant())
                else:
                    self._check_gate(context)
                    answer = await self._inside(
                        behaviour(request, self._admit(request, context, verb, route))
                    )
            except PlatformError as error:
                self._telemetry.refused(error.code)
                status, code, said = status_of(error), code_of(error), in_words(error)
                after_s = retry_after_s(error)
                if after_s is not None:
                    context.set_trailing_metadata([*trailing, ("retry-after", b"%d" % after_s)])
                if is_fault(error):
                    self._repeats.met(error.code, partial(tell_failed, route, error))
            except Exception as error:  # the last line: nobody gets a trace
                self._telemetry.refused("internal")
                self._repeats.met(type(error).__name__, partial(tell_failed, route, error))
                status, code, said = 500, grpc.StatusCode.INTERNAL, "an internal error"
            self._telemetry.requested(route, status, self._clock.monotonic_s() - start_s)
            if code is not grpc.StatusCode.OK:
                await _refused(context, code, said)
            return answer

        return called

    async def _sent(self, context: Any) -> bytes:
        """Bytes of the one message, which must come in time: grpc itself would wait for ever."""
        try:
            async with asyncio.timeout(self._patience_s):
                sent = await context.read()
        except TimeoutError:
            raise SlowBodyError(
                "the message did not arrive in time",
                found=f"more than {self._patience_s:g} s",
                remedy="send it at once",
            ) from None
        if sent is grpc.aio.EOF:
            raise MalformedBodyError("the call ended without its message")
        return bytes(sent)

    def _check_gate(self, context: Any) -> None:
        """Return where the call may come in: there is room, and time before its deadline."""
        left_s = context.time_remaining()
        if self._gate.is_full:
            raise busy()
        if left_s is not None and self._gate.expected_s > left_s:
            raise Deadline(max(0, int(left_s * 1_000)), self._gate.now_s + left_s).late()

    async def _inside(self, answering: Awaitable[Any]) -> Any:
        self._gate.enter()
        try:
            return await answering
        finally:
            self._gate.leave()

    def _admit(self, request: Any, context: Any, verb: Verb, route: str) -> Grant:
        sent = context.invocation_metadata() or ()
        keys = [value for name, value in sent if name == "authorization"]
        asked = Asked(
            authorization=keys[0] if keys else None,
            verb=verb,
            use_cases=[request.model_name if hasattr(request, "model_name") else request.name],
            route=route,
            client=address_of(context.peer()),
            is_ambiguous=len(keys) > 1,
        )
        return self._access.admit(asked)


async def _refused(context: Any, code: grpc.StatusCode, said: str) -> None:
    """End a call by a status; one that grpc ended by its own is over without a line of the log."""
    try:
        await context.abort(code, said)
    except grpc.aio.InternalError:
        raise asyncio.CancelledError from None


def address_of(peer: str) -> str:
    """Address of whoever calls, as gRPC spells it, without the port: that is another each time.

    Examples
    --------
    >>> address_of("ipv4:10.0.0.7:51234"), address_of("ipv6:%5B::1%5D:51234"), address_of("unix:")
    ('10.0.0.7', '::1', 'unix:')
    """
    kind, _, where = unquote(peer).partition(":")
    return where.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else peer


def code_of(error: PlatformError) -> grpc.StatusCode:
    """Status of an error: that of the nearest class in its MRO that has one."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def in_words(error: PlatformError) -> str:
    """An error in one sentence that begins with its code and names the fields at fault."""
    faults = "".join(f"; {each.pointer}: {each.message}" for each in getattr(error, "faults", ()))
    return f"{error.code}: {error}{faults}"


@asynccontextmanager
async def listening(
    settings: GrpcSettings, http: HttpSettings, inference: Inference, desk: Desk
) -> AsyncIterator[None]:
    """Answer as long as this is entered; then let calls under way end.

    Raises
    ------
    ConfigurationError
        If it cannot listen there.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", http.max_body_bytes),
            ("grpc.max_metadata_size", http.max_header_bytes),
            ("grpc.absolute_max_metadata_size", http.max_header_bytes),
            ("grpc.max_concurrent_streams", settings.max_calls),
            ("grpc.max_allowed_incoming_connections", http.max_connections),
            ("grpc.server_handshake_timeout_ms", http.header_timeout_ms),
            ("grpc.max_connection_idle_ms", http.keep_alive_s * 1_000),
            ("grpc.so_reuseport", int(http.workers > 1)),  # else a second service would share it
        ],
        maximum_concurrent_rpcs=settings.max_calls,
    )
    server.add_generic_rpc_handlers((GrpcInference(inference).handler(desk.guarded),))
    address = authority(settings.host, settings.port)
    try:
        server.add_insecure_port(address)
    except RuntimeError:
        raise ConfigurationError(
            "gRPC cannot listen",
            found=address,
            remedy="end what listens there, or set THROUGHLINE_GRPC__PORT to another port",
        ) from None
    await server.start()
    try:
        yield
    finally:
        await server.stop(grace=settings.shutdown_s)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def read_message(sent: bytes, read: Read) -> Any:
    """The message in bytes; MalformedBodyError where they are none."""
    try:
        return read(sent)
    except DecodeError:
        raise MalformedBodyError("the bytes are not the message that the call takes") from None


def _tensors(request: Any) -> list[Tensor]:
    raw: Sequence[bytes] = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        message = f"must hold one for each input; holds {len(raw)}"
        raise fault("/raw_input_contents", "wrong_size", message)
    tensors = []
    for index, given in enumerate(request.inputs):
        here = f"/inputs/{index}"
        if raw and given.contents.ByteSize():
            message = "must not stand beside raw_input_contents"
            raise fault(f"{here}/contents", "wrong_size", message)
        flat = _raw(raw[index]) if raw else _contents(given, here)
        tensors.append(tensor(given.name, given.datatype, given.shape, flat, pointer=here))
    return tensors


def _raw(content: bytes) -> Callable[[np.dtype[Any]], NDArray[Any]]:
    return lambda dtype: np.frombuffer(content, dtype=dtype)


def _contents(given: Any, here: str) -> Callable[[np.dtype[Any]], NDArray[Any]]:
    place = _CONTENTS.get(given.datatype)
    if place is None:
        message = f"must be one of {', '.join(_CONTENTS)}; others come raw"
        raise fault(f"{here}/datatype", "wrong_type", message)
    return lambda dtype: np.array(getattr(given.contents, place), dtype=dtype)
