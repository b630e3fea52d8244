"""Numbers of things in words: one record, two records."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLURAL = re.compile(r"(ies|s)\b")


def counted(n: int, things: str) -> str:
    """A number with what it counts, a plural with ``_`` between its words.

    Examples
    --------
    >>> counted(2_000, "log_records"), counted(1, "log_records")
    ('2,000 log records', '1 log record')
    >>> counted(1, "places_in_files"), counted(1, "entries")
    ('1 place in files', '1 entry')
    """
    said = things.replace("_", " ")
    if n == 1:
        said = _PLURAL.sub(lambda ending: "y" if ending[1] == "ies" else "", said, count=1)
    return f"{n:,} {said}"


def listed(counts: Mapping[str, int]) -> str:
    """Several numbers with what each counts.

    Examples
    --------
    >>> listed({"rows": 2, "purged_files": 1})
    '2 rows, 1 purged file'
    """
    return ", ".join(counted(n, things) for things, n in counts.items())
