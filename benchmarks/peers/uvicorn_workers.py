"""uvicorn as the service runs it, for the peers that are bare applications."""

from __future__ import annotations

import uvicorn

WORKERS = 2


def serve(application: str, port: int, *, is_factory: bool = False) -> None:
    """Serve until ended: two workers, uvloop, httptools, kept connections, no log."""
    uvicorn.run(
        application,
        factory=is_factory,
        host="127.0.0.1",
        port=port,
        workers=WORKERS,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
    )
