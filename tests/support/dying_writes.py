"""A process that ends in the middle of what it writes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

DIED, LIVED, FAILED = 3, 0, 1


def dies_at(step: int, work: Callable[[], Any]) -> bool:
    """Do ``work`` in a process that ends at its ``step``-th write or removal; whether it did."""
    pid = os.fork()
    if pid:
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert ended in (DIED, LIVED), f"the work failed before step {step}"
        return ended == DIED
    count = itertools.count(1)

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if next(count) == step:
                os._exit(DIED)
            return real(*arguments, **named)

        return call

    try:
        os.fsync, os.replace, os.unlink = dying(os.fsync), dying(os.replace), dying(os.unlink)
        work()
        os._exit(LIVED)
    finally:
        os._exit(FAILED)
