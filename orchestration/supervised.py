"""Long work in a child of its own process group, so that Ctrl-C ends all of it for certain.

A run of Dagster takes interrupts for itself, a library may swallow one, and a JVM whose
parent was interrupted while it started waits for ever. So the command line runs such work in
a child and ends the child's whole group: politely, then not. Tables are written so that a
killed job loses nothing.
"""

import signal
import subprocess
from collections.abc import Mapping, Sequence

from orchestration.ending import die_with_parent, end_group, interrupt_on

STOP_WITHIN_S = 5.0


def supervise(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Exit code of a command line run in a child.

    Raises
    ------
    KeyboardInterrupt
        If we were interrupted or told to end; the child and all it started are gone then.
    """
    child = subprocess.Popen(
        command,
        env=dict(environment),
        start_new_session=True,
        preexec_fn=die_with_parent,
    )
    interrupt_on(signal.SIGINT, signal.SIGTERM)
    try:
        return child.wait()
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):  # a second Ctrl-C must not leave anything
            signal.signal(number, signal.SIG_IGN)
        end_group(child, within_s=STOP_WITHIN_S)
        raise
