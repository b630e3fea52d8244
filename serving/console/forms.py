"""What a form sends: a few short fields, read with limits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from core.errors import InvalidInputError
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


def line_of(form: Mapping[str, str], name: str, *, longest: int) -> str:
    """One line of text that a person wrote into a field.

    Raises
    ------
    InvalidInputError
        If there is none, it is too long, or holds what does not print.

    Examples
    --------
    >>> line_of({"why": "errors doubled"}, "why", longest=2_000)
    'errors doubled'
    """
    text = form.get(name, "")
    if not 1 <= len(text) <= longest or not text.isprintable():
        raise InvalidInputError(
            f"the field {name!r} does not fit",
            found=f"{len(text)} characters",
            remedy=f"go back and write 1 to {longest} characters on one line",
            code="bad_field",
        )
    return text


def number_of(form: Mapping[str, str], name: str, *, least: int, most: int) -> int:
    """A whole number that a person wrote into a field.

    Raises
    ------
    InvalidInputError
        If it is none, or out of its range.

    Examples
    --------
    >>> number_of({"days": "30"}, "days", least=1, most=365)
    30
    """
    text = form.get(name, "")
    if not (text.isascii() and text.isdecimal()) or not least <= int(text[:20]) <= most:
        raise InvalidInputError(
            f"the field {name!r} does not fit",
            remedy=f"go back and write a whole number from {least} to {most}",
            code="bad_field",
        )
    return int(text)
