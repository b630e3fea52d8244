"""Watches how far the folder has come: ``python -m benchmarks.events.watch URL VIEW ...``.

Prints a line for each step, the instant on the monotonic clock and the position up to which
every view is folded, until its input ends.
"""

from __future__ import annotations

import select
import sys
import time

from stores.online import open_online_store
from stores.online.watermarks import decode_position, folded_key

LOOK_EVERY_S = 0.0005


def main() -> None:
    url, *views = sys.argv[1:]
    store, keys = open_online_store(url), [folded_key(view) for view in views]
    last = -1
    while not select.select([sys.stdin], [], [], LOOK_EVERY_S)[0]:
        found = [0 if data is None else decode_position(data) for data in store.read(keys)]
        if min(found) != last:
            last = min(found)
            print(time.monotonic(), last, flush=True)
    store.close()


if __name__ == "__main__":
    main()
