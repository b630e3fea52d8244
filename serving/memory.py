"""Memory that this process has taken."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")
_KIB = 1_024


def resident_bytes() -> int:
    """Memory of this process that is no file's: allocated and touched. 0 where nobody tells.

    Examples
    --------
    >>> before = resident_bytes()
    >>> held = bytearray(50 << 20)
    >>> resident_bytes() - before > 40 << 20
    True
    """
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * _KIB for line in lines if line.startswith("RssAnon:")), 0)
