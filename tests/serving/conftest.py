from __future__ import annotations

from functools import cache

import httpx
import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG

HANGS_AFTER_S = 60.0


@pytest.fixture(autouse=True, scope="session")
def calls_are_patient():
    """A busy machine may take longer to answer than the five seconds that httpx waits."""
    with pytest.MonkeyPatch.context() as patch:
        for part in ("connect", "read", "write", "pool"):
            patch.setattr(DEFAULT_TIMEOUT_CONFIG, part, HANGS_AFTER_S)
        yield


@pytest.fixture(autouse=True, scope="session")
def certificates_read_once():
    """Every call with a connection of its own would read all certificates again, for 30 ms."""
    with pytest.MonkeyPatch.context() as patch:
        once = cache(httpx.create_ssl_context)
        patch.setattr("httpx._transports.default.create_ssl_context", once)
        yield
