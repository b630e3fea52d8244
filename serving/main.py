"""The service: ``python -m serving.main``. Reads the environment, checks, starts the workers.

What a worker is made of stands in `serving.application`, and only workers import it: whoever
starts them would take as long as they do, before they begin.
"""

from __future__ import annotations

import os
import signal
import sys

import uvicorn

from core.clock import SystemClock
from core.errors import PlatformError
from serving.access import check_host
from serving.log_lines import Trouble
from serving.process import settings_and_teller
from stores.access_keys import AccessKeyFile


def main() -> int:
    """Start the service; ends on SIGTERM or SIGINT."""
    # uvicorn ends in good order, then raises the signal again for whoever was there before it.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
    try:
        settings, told = settings_and_teller("service", os.environ)
    except PlatformError:
        return 1
    http = settings.http
    try:
        hosts = {http.host, settings.grpc.host} if settings.grpc.port else {http.host}
        for host in hosts:
            check_host(host, AccessKeyFile(settings.layout.access), SystemClock(), told)
        told(f"listening on http://{http.host}:{http.port} (docs at /docs)")
        if settings.grpc.port:
            told(f"listening for gRPC on {settings.grpc.host}:{settings.grpc.port}")
        uvicorn.run(
            "serving.application:application",
            factory=True,
            host=http.host,
            port=http.port,
            workers=http.workers,
            loop="uvloop",
            http="serving.transport.door:Door",
            ws="none",
            proxy_headers=False,
            log_config=None,  # what it says goes where all that we say goes
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=http.keep_alive_s,
            timeout_graceful_shutdown=http.shutdown_s,
        )
    except PlatformError as error:
        told(Trouble(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
