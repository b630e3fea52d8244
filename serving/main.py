"""The service: ``python -m serving.main``. Reads the environment, checks, starts the workers.

What a worker is made of stands in `serving.application`. Several workers are forked from a process
that has imported it.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from socket import socket

import uvicorn

from core.clock import SystemClock
from core.errors import PlatformError
from serving.asgi import uvicorn_config
from serving.configuration import note_configuration
from serving.hosts import check_host
from serving.process import (
    Told,
    allow_open_files,
    authority,
    bound_socket,
    count_alone,
    leave_after,
    settings_and_teller,
    stop_on_signals,
)
from serving.settings import HttpSettings
from serving.telemetry.log_lines import Trouble
from serving.transport.accepting import CLOSED, Held, WorkerServer
from serving.workers import CANNOT_START, Started, Workers
from stores.keys.access_keys import AccessKeyFile

# Not ONNX Runtime: it starts a thread when it is imported, which a fork would not take along.
IMPORTED_ONCE = ("serving.application", "serving.transport.door", "uvicorn.lifespan.on", "uvloop")
OTHER_FILES = 512
"""Files beside connections: logs, segments of records, stores."""
ENDING_S = 5
"""What a worker may take to seal its records once its requests are answered, or cut off."""


def main() -> int:
    """Start the service; ends on SIGTERM or SIGINT."""
    # uvicorn ends in good order, then raises the signal again for whoever was there before it.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
    count_alone(os.environ)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it writes lines of its own, past every log
    try:
        settings, told = settings_and_teller("service", os.environ)
    except PlatformError:
        return 1
    http = settings.http
    # Over HTTP a quarter more connections are opened than may ask; over gRPC come as many again.
    allow_open_files(3 * http.max_connections + OTHER_FILES)
    try:
        hosts = {http.host, settings.grpc.host} if settings.grpc.port else {http.host}
        for host in hosts:
            check_host(host, AccessKeyFile(settings.layout.access), SystemClock(), told)
        note_configuration("service", settings, SystemClock(), told)
        listener = bound_socket(http.host, http.port, setting="THROUGHLINE_HTTP__PORT")
        told(f"listening on http://{authority(http.host, http.port)} (docs at /docs)")
        if settings.grpc.port:
            address = authority(settings.grpc.host, settings.grpc.port)
            told(f"listening for gRPC on {address}")
        return _serve(http, listener, told)
    except PlatformError as error:
        told(Trouble(error))
        return 1


def _serve(http: HttpSettings, listener: socket, told: Told) -> int:
    """Serve on ``listener`` until told to stop; the exit status."""
    config = uvicorn_config(
        "serving.application:application",
        http,
        connection="serving.transport.door:Door",
        is_factory=True,
    )
    if http.workers == 1:
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
        return 0 if server.started else CANNOT_START
    stop = stop_on_signals()
    for module in IMPORTED_ONCE:
        import_module(module)

    held = Held(http.workers)

    def work(place: int, started: Started) -> None:
        server = WorkerServer(config, held, place, started)
        try:
            server.run(sockets=[listener])
        except SystemExit as end:  # what could not be built has said why
            if end.code:
                held.put(place, CLOSED)
                sys.exit(CANNOT_START)
            raise

    grace_s = http.shutdown_s + ENDING_S
    workers = Workers(
        http.workers, work, stop=stop, clock=SystemClock(), told=told, grace_s=grace_s
    )
    return workers.run()


if __name__ == "__main__":
    leave_after(main)
