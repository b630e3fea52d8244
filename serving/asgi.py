"""How uvicorn serves an application of ours: service and console alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import uvicorn

from serving.settings import HttpSettings


def uvicorn_config(
    application: str | Callable[..., Any],
    http: HttpSettings,
    *,
    connection: str,
    is_factory: bool = False,
) -> uvicorn.Config:
    """Configuration of a server.

    Parameters
    ----------
    application
        An ASGI application, or the reference of one.
    connection
        Reference of the protocol that each connection gets.
    is_factory
        Whether the reference makes the application.
    """
    return uvicorn.Config(
        application,
        factory=is_factory,
        loop="uvloop",
        http=connection,
        ws="none",
        proxy_headers=False,
        log_config=None,  # what it says goes where all that we say goes
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=http.keep_alive_s,
        timeout_graceful_shutdown=http.shutdown_s,
    )
