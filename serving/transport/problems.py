"""Errors as ``application/problem+json`` (RFC 9457): one table, looked up by the class's MRO."""

from __future__ import annotations

import math
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from core.errors import (
    ConfigurationError,
    DependencyError,
    IntegrityError,
    InvalidInputError,
    NotReadyError,
    OverloadedError,
    PlatformError,
)
from serving.errors import (
    BodyTooLargeError,
    BrokenContractError,
    BusyError,
    ConflictError,
    ContractEndedError,
    HeadersTooLargeError,
    LateError,
    ListTooLongError,
    MalformedBodyError,
    MalformedRequestError,
    NoKeyError,
    NotFoundError,
    OutOfScopeError,
    RateLimitedError,
    SeveralKeysError,
    SlowBodyError,
    SlowHeadersError,
    UnreadableTimeoutError,
    UnsupportedMediaError,
)
from serving.ports import Json

STATUS: dict[type[PlatformError], int] = {
    PlatformError: 500,
    ConfigurationError: 500,
    IntegrityError: 500,
    InvalidInputError: 422,
    MalformedBodyError: 400,
    MalformedRequestError: 400,
    SeveralKeysError: 400,
    UnreadableTimeoutError: 400,
    NoKeyError: 401,
    OutOfScopeError: 403,
    SlowBodyError: 408,
    SlowHeadersError: 408,
    HeadersTooLargeError: 431,
    ConflictError: 409,
    ContractEndedError: 410,
    BodyTooLargeError: 413,
    ListTooLongError: 413,
    UnsupportedMediaError: 415,
    NotReadyError: 503,
    NotFoundError: 404,
    OverloadedError: 429,
    BusyError: 503,
    LateError: 503,
    DependencyError: 503,
}
RETRY_AFTER_S = 1
V2 = "/v2"
"""Below it a problem has its sentence as ``error`` too: the Open Inference Protocol's word."""
MEDIA_TYPE = "application/problem+json"

_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}


def status_of(error: PlatformError) -> int:
    """Status of an error: that of the nearest class in its MRO that has one."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def is_fault(error: PlatformError) -> bool:
    """Whether somebody should read of it; that a caller was in a hurry is nobody's fault."""
    is_ours = status_of(error) >= HTTPStatus.INTERNAL_SERVER_ERROR
    return is_ours and not isinstance(error, LateError)


def problem(error: PlatformError, *, is_v2: bool = False) -> Response:
    """Problem that tells an error of ours. Constructors of errors never take input over."""
    body: Json = {"code": error.code, "title": error.wrong, "detail": str(error)}
    body["retryable"] = error.is_retryable
    if isinstance(error, BrokenContractError):
        body["errors"] = [fault._asdict() for fault in error.faults]
    response = _response(status_of(error), body, is_v2=is_v2)
    if isinstance(error, NoKeyError):
        response.headers["WWW-Authenticate"] = "Bearer"
    after_s = retry_after_s(error)
    if after_s is not None:
        response.headers["Retry-After"] = str(after_s)
    return response


def retry_after_s(error: PlatformError) -> int | None:
    """Whole seconds after which the same may be asked again; None where it would be in vain."""
    if isinstance(error, RateLimitedError):
        return max(RETRY_AFTER_S, math.ceil(error.retry_after_s))
    return RETRY_AFTER_S if status_of(error) in (429, 503) else None


def http_problem(error: HTTPException, *, is_v2: bool = False) -> Response:
    """Problem of a path or a method that is not there."""
    code = _HTTP_CODES.get(error.status_code, "http_error")
    body: Json = {"code": code, "title": code.replace("_", " "), "retryable": False}
    response = _response(error.status_code, body, is_v2=is_v2)
    response.headers.update(error.headers or {})
    return response


def internal_problem(*, is_v2: bool = False) -> Response:
    """Problem of an error that nobody foresaw; what it was is for the log, not the caller."""
    body: Json = {"code": "internal", "title": "an internal error", "retryable": True}
    return _response(500, body, is_v2=is_v2)


def _response(status: int, body: Json, *, is_v2: bool) -> Response:
    if is_v2:
        body["error"] = body.get("detail", body["title"])
    content = {"type": f"urn:throughline:problem:{body['code']}", "status": status, **body}
    return Response(msgspec.json.encode(content), status_code=status, media_type=MEDIA_TYPE)
