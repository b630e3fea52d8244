from __future__ import annotations

from functools import cache

import httpx
import pytest


@pytest.fixture(autouse=True, scope="session")
def certificates_read_once():
    """Every call with a connection of its own would read all certificates again, for 30 ms."""
    with pytest.MonkeyPatch.context() as patch:
        once = cache(httpx.create_ssl_context)
        patch.setattr("httpx._transports.default.create_ssl_context", once)
        yield
