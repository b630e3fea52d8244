"""A folder that looks by itself every ten seconds: what it sees sooner it was told of."""

from __future__ import annotations

from serving import folder
from serving.events import log_watch

REST_S = 10.0

if __name__ == "__main__":
    log_watch.LONGEST_WAIT_S = REST_S
    raise SystemExit(folder.main())
