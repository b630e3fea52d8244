"""Errors of the online side, as kinds of the platform's families; a transport gives the status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from core.errors import DependencyError, InvalidInputError, NotReadyError, OverloadedError


class FieldFault(NamedTuple):
    """One field that breaks the contract. ``pointer`` is RFC 6901, of declared names only."""

    pointer: str
    code: str
    message: str


class MalformedBodyError(InvalidInputError):
    """The body is not what its content type says."""

    code = "malformed"


class MalformedRequestError(InvalidInputError):
    """The bytes on a connection are not a request, or one of a kind that is not taken."""

    code = "malformed_request"


class HeadersTooLargeError(InvalidInputError):
    """The address and headers of a request have more bytes than are taken."""

    code = "headers_too_large"


class SlowHeadersError(InvalidInputError):
    """The head of a request did not arrive in time."""

    code = "slow_headers"
    is_retryable = True


class TooManyConnectionsError(NotReadyError):
    """More connections are open than this process takes."""

    code = "too_many_connections"


class UnreadBodyError(InvalidInputError):
    """The body was refused before it was read to its end; the sender may still be sending it."""

    code = "unread_body"


class UnsupportedMediaError(UnreadBodyError):
    """The body comes in a type or an encoding that is not taken."""

    code = "unsupported_media_type"


class BodyTooLargeError(UnreadBodyError):
    """The body has more bytes than are taken at once."""

    code = "too_large"


class SlowBodyError(UnreadBodyError):
    """The body did not arrive in time."""

    code = "slow_body"
    is_retryable = True


class ListTooLongError(InvalidInputError):
    """A list in the body has more items than are taken at once."""

    code = "too_large"


class BrokenContractError(InvalidInputError):
    """Fields that do not fit the declared contract; every fault is listed."""

    code = "contract"

    def __init__(self, faults: Sequence[FieldFault]) -> None:
        self.faults = tuple(faults)
        super().__init__(
            "the request does not fit its contract",
            found=f"{len(self.faults)} fault{'s' if len(self.faults) != 1 else ''}",
            remedy="see `errors` for each field, and /openapi.json for the contract",
        )


class ConflictError(InvalidInputError):
    """Something of that id is already there with another content."""

    code = "conflict"


class ContractEndedError(InvalidInputError):
    """The time that the caller's contract was served for is over."""

    code = "contract_ended"


class SeveralKeysError(InvalidInputError):
    """The request shows several keys; which of them was meant cannot be told."""

    code = "several_keys"


class UnreadableTimeoutError(InvalidInputError):
    """What the caller says of how long it waits is no such time."""

    code = "unreadable_timeout"


class NoKeyError(InvalidInputError):
    """The request carries no key, or one that opens nothing."""

    code = "no_key"


class OutOfScopeError(InvalidInputError):
    """The key is good, and does not open what was asked for."""

    code = "not_in_scope"


class BusyError(OverloadedError):
    """More is asked of the service than it can answer in time."""

    code = "busy"


class SlowModelError(DependencyError):
    """The model did not answer in time."""

    code = "model_slow"


class LateError(OverloadedError):
    """The answer would come after the time that the caller gave."""

    code = "late"


class RateLimitedError(OverloadedError):
    """The key asked for more points a second than it may."""

    code = "rate_limited"

    def __init__(
        self,
        wrong: str,
        *,
        found: str = "",
        remedy: str = "",
        code: str | None = None,
        retry_after_s: float = 1.0,
    ) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(wrong, found=found, remedy=remedy, code=code)


class QuotaUsedError(RateLimitedError):
    """The key has had all its points of the day."""

    code = "quota_used"


class NotFoundError(NotReadyError):
    """There is no such thing, and asking again will not make it appear."""

    code = "not_found"
    is_retryable = False
