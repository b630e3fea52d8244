"""Bodies: how much, how long, of which type; then strict JSON (no NaN, no 1e999, no key twice)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.types import Message

from serving.errors import (
    BodyTooLargeError,
    MalformedBodyError,
    SlowBodyError,
    UnsupportedMediaError,
)
from serving.transport.begun import Finished, begun
from serving.transport.crowding import check_room
from serving.transport.head_facts import by_name, facts_of
from serving.transport.known_heads import WHOLE_BODY

_JSON = b"application/json"
_TENSORS = b"application/octet-stream"
_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_HOLDERS = {dict, list}  # a list of numbers alone is passed over: tensors have many
_ESCAPED = re.compile(rb"\\.")  # stands inside of strings only


async def json_body(request: Request, *, max_bytes: int, timeout_ms: int) -> Any:
    """Value of a JSON body.

    Raises
    ------
    UnsupportedMediaError, BodyTooLargeError, SlowBodyError, MalformedBodyError, BusyError
        Each for its reason; none repeats what was sent.
    """
    if not facts_of(request.scope).is_plain_json:
        _check_type(by_name(request.scope["headers"]))
    body = await _whole(request, max_bytes, timeout_ms)
    check_room(request.scope)
    return strict_json(body)


async def tensor_body(request: Request, *, max_bytes: int, timeout_ms: int) -> bytes:
    """A body of the Open Inference Protocol, whose clients name no type, or that of bytes.

    Raises
    ------
    UnsupportedMediaError, BodyTooLargeError, SlowBodyError, MalformedBodyError, BusyError
        Each for its reason; none repeats what was sent.
    """
    if not facts_of(request.scope).is_plain_json:
        _check_type(by_name(request.scope["headers"]), also=(b"", _TENSORS))
    body = await _whole(request, max_bytes, timeout_ms)
    check_room(request.scope)
    return body


async def _whole(request: Request, max_bytes: int, timeout_ms: int) -> bytes:
    there: bytes | None = request.scope.get(WHOLE_BODY)
    if there is not None and len(there) <= max_bytes:
        return there
    told = by_name(request.scope["headers"]).get(b"content-length", b"")
    if told.isdigit() and int(told[:20]) > max_bytes:
        raise _too_large(max_bytes)
    first = begun(request.receive())
    if isinstance(first, Finished) and not first.value.get("more_body", False):
        return await _read(request, first.value, max_bytes)  # all was there, as mostly
    try:
        async with asyncio.timeout(timeout_ms / 1_000):
            message = first.value if isinstance(first, Finished) else await first
            return await _read(request, message, max_bytes)
    except TimeoutError:
        raise SlowBodyError(
            "the body did not arrive in time",
            found=f"more than {timeout_ms} ms",
            remedy="send it at once",
        ) from None


def strict_json(body: bytes) -> Any:
    """Value of JSON in which no object has a key twice: of two values neither is meant.

    Raises
    ------
    MalformedBodyError
        If it is not JSON; with the code ``duplicate_key`` if a key comes twice.

    Examples
    --------
    >>> strict_json(b'{"a": {"b": 1}}')
    {'a': {'b': 1}}
    >>> strict_json(b'{"a": {"b": 1, "b": 2}}')
    Traceback (most recent call last):
        ...
    serving.errors.MalformedBodyError: an object of the body has a key twice; give every key once
    """
    try:
        value = _decoder.decode(body)
        is_unclear = _has_a_key_twice(body, value)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, as are codecs'
        raise MalformedBodyError(
            "the body is not JSON",
            remedy="send UTF-8 JSON: finite numbers, no lone surrogates, no deep nesting",
        ) from None
    if is_unclear:
        raise MalformedBodyError(
            "an object of the body has a key twice",
            remedy="give every key once",
            code="duplicate_key",
        )
    return value


def _has_a_key_twice(body: bytes, value: Any) -> bool:
    """Whether an object of a body has; of two members with one key the decoder kept one.

    Where nothing is escaped a colon stands for itself, and a member that went took its own along:
    so what was kept, put into JSON again, has fewer. That costs half of counting its members.
    """
    if b"\\" not in body:
        return _encoder.encode(value).count(b":") != body.count(b":")
    return _members(value) != _members_said(body)


def _members(value: Any) -> int:
    """Members of all objects in a value."""
    count = 0
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if type(each) is dict:
            count += len(each)
            waiting.extend(each.values())
        elif type(each) is list and not _HOLDERS.isdisjoint(map(type, each)):
            waiting.extend(each)
    return count


def _members_said(body: bytes) -> int:
    """Members of all objects in a text that is JSON: its colons outside of strings."""
    return b"".join(_ESCAPED.sub(b"", body).split(b'"')[::2]).count(b":")


def _check_type(headers: Mapping[bytes, bytes], *, also: tuple[bytes, ...] = ()) -> None:
    given = headers.get(b"content-type", b"")
    if given != _JSON and given not in also:
        media_type, _, parameters = given.lower().partition(b";")
        charset = parameters.strip().replace(b'"', b"")
        if media_type.strip() != _JSON or charset not in (b"", b"charset=utf-8"):
            raise UnsupportedMediaError(
                "the body's type is not taken", remedy="send application/json, in UTF-8"
            )
    if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise UnsupportedMediaError(
            "the body's encoding is not taken", remedy="send the body uncompressed"
        )


async def _read(request: Request, message: Message, max_bytes: int) -> bytes:
    """The body that a message begins."""
    chunks: list[bytes] = []
    size = 0
    while message["type"] == "http.request":
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return b"".join([*chunks, chunk]) if chunks else chunk
        chunks.append(chunk)
        message = await request.receive()
    raise MalformedBodyError("the body ended before it was whole")


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        "the body is too large",
        found=f"more than {max_bytes} bytes",
        remedy="send it in parts",
    )
