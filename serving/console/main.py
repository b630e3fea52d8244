"""The console: ``python -m serving.console.main``. Reads the environment, checks, listens."""

from __future__ import annotations

import os
import sys
from socket import socket

import uvicorn

from core.clock import SystemClock
from core.errors import PlatformError
from serving.asgi import uvicorn_config
from serving.configuration import note_configuration
from serving.console.application import Console
from serving.console.pages import Home
from serving.console.table import SECTIONS, pages
from serving.hosts import check_host
from serving.process import (
    Told,
    allow_open_files,
    authority,
    bound_socket,
    count_alone,
    settings_and_teller,
)
from serving.settings import Settings
from serving.telemetry.log_lines import Trouble, ending_in_words
from serving.workers import CANNOT_START
from stores.keys.access_keys import AccessKeyFile

OTHER_FILES = 256


def main() -> int:
    """Start the console; ends on SIGTERM or SIGINT."""
    environment = os.environ
    count_alone(environment)
    try:
        settings, told = settings_and_teller("console", environment)
    except PlatformError:
        return 1
    try:
        keys = AccessKeyFile(settings.layout.access)
        check_host(settings.console.host, keys, SystemClock(), told)
        note_configuration("console", settings, SystemClock(), told)
        host, port = settings.console.host, settings.console.port
        listener = bound_socket(host, port, setting="THROUGHLINE_CONSOLE__PORT")
        told(f"listening on http://{authority(host, port)}")
        return _serve(settings, listener, told)
    except PlatformError as error:
        told(Trouble(error))
        return 1


def _serve(settings: Settings, listener: socket, told: Told) -> int:
    """Serve on ``listener`` until told to stop; the exit status."""
    with ending_in_words("the console cannot be built"):
        console = Console(Home(settings, SystemClock()), told, pages=pages(), sections=SECTIONS)
    allow_open_files(2 * settings.http.max_connections + OTHER_FILES)
    connection = "serving.transport.connections:Connection"
    server = uvicorn.Server(uvicorn_config(console, settings.http, connection=connection))
    server.run(sockets=[listener])
    return 0 if server.started else CANNOT_START


if __name__ == "__main__":
    sys.exit(main())
