"""What a form sends: a few short fields, read with limits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from serving.errors import (
    BodyTooLargeError,
    MalformedBodyError,
    SlowBodyError,
    UnsupportedMediaError,
)

MOST_BYTES, MOST_FIELDS = 16 << 10, 40
_KIND = "application/x-www-form-urlencoded"


async def form_of(request: Request, *, timeout_ms: int) -> Mapping[str, str]:
    """Fields of a form, trimmed; of one that comes twice the last.

    Raises
    ------
    UnsupportedMediaError, BodyTooLargeError, SlowBodyError, MalformedBodyError
        Each for its reason.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _KIND:
        raise UnsupportedMediaError("the body's type is not taken", remedy=f"send {_KIND}")
    try:
        async with asyncio.timeout(timeout_ms / 1_000):
            return parsed(await _body(request))
    except TimeoutError:
        raise SlowBodyError("the form did not arrive in time", remedy="send it again") from None
    except ClientDisconnect:
        raise MalformedBodyError("the form ended before it was whole") from None


def parsed(body: bytes) -> Mapping[str, str]:
    """Fields of a form's body.

    Raises
    ------
    MalformedBodyError
        If they are no form, or too many.

    Examples
    --------
    >>> parsed(b"why=it+held&who=+ada+")
    {'why': 'it held', 'who': 'ada'}
    """
    try:
        text = body.decode("ascii")
        found = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise MalformedBodyError(
            "the body is not a form", remedy="send the form as it was loaded"
        ) from None
    return {name: value.strip() for name, value in found}


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise BodyTooLargeError("the form is too large", found=f"more than {MOST_BYTES} bytes")
    return body
