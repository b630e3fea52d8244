"""Ids of requests: the caller's where it sent one that is safe to repeat, else a fresh one."""

from __future__ import annotations

import re
import secrets

HEADER = b"x-request-id"
_SAFE = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")


def request_id(given: bytes | None) -> bytes:
    """The id that an answer carries.

    Examples
    --------
    >>> request_id(b"order-17")
    b'order-17'
    >>> len(request_id(b"two words")), len(request_id(None))
    (32, 32)
    """
    if given is not None and _SAFE.fullmatch(given):
        return given
    return secrets.token_hex(16).encode()
