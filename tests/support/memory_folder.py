"""Temporary files in the machine's memory where it has room: a sync waits for no disk there.

Whoever is killed leaves the same files in either place. What a cut of power leaves is told from
the order of syncs, by tests that write it down.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 2**30  # the fast part leaves a tenth of a gigabyte, and pytest keeps three runs


def keep_files_in_memory() -> None:
    """Let this process and its children make temporary folders there, unless TMPDIR says where."""
    if "TMPDIR" in os.environ or not MEMORY.is_dir():
        return
    if shutil.disk_usage(MEMORY).free >= ROOM_BYTES:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # found anew
