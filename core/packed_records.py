"""Records as they are kept: whole ones, and packed ones, whose numbers are not printed.

A record on its way is an object in JSON either way. A whole one (version 3) is what everybody
reads (docs/records.md). A packed one (version 4) says the same: what its release fixes names its
values, ``numbers`` holds them, and members that would be null are left out. To print and name
fifty numbers was two thirds of what a record cost.

``numbers`` is base64 with ``-`` and ``_``, without line ends, of little-endian numbers end to end:

===========  ======================================================================
float64      every value of every view, every output of transforms, the score
int64        by view the age of what was read, then by view the position that was seen
uint8        by view its status, as a place in `STATUSES`
float32      the vector
===========  ======================================================================

NaN and `NONE` stand for null. In this alphabet all of it is one word, so a search for an identifier
(`core.erasing.sought`) does not take a part of it for one.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from itertools import islice
from math import isfinite
from typing import Any

from core.degradation import EXPIRED, UNAVAILABLE, WITHHELD

WHOLE, PACKED = 3, 4
"""Versions of a record. A packed one that was read is a whole one."""

STATUSES = (
    *("PRESENT", "NOT_FOUND", "fresh", "stale", "missing"),
    *(UNAVAILABLE, EXPIRED, WITHHELD),
)
"""What was read of a view. Only added to at the end: records on disks hold places."""

NONE = -1
"""Age or position that nobody knows; those that are known are not negative."""

_FIXED = ("use_case", "masked", "model", "policy_digest", "policy")
_ASKED = ("received_at_ms", "at_ms", "event_id", "rollout", "entities", "inputs")
_ANSWERED = ("decision", "reason", "rule", "explanation", "degraded", "timings_ms")
_TRACED = ("request_id", "traceparent")


def whole_record(payload: bytes | str) -> dict[str, Any]:
    """The whole record that a payload is, or says.

    Raises
    ------
    ValueError
        If it is not JSON of a record.

    Examples
    --------
    >>> whole_record(b'{"version":3,"score":0.5}')
    {'version': 3, 'score': 0.5}
    >>> whole_record(b'{"version":4}')
    Traceback (most recent call last):
    ValueError: not a packed record: KeyError
    """
    record = json.loads(payload)
    if not isinstance(record, dict):
        raise ValueError("not a record: no object")  # noqa: TRY004 - of a text, not of a type
    if record.get("version") != PACKED:
        return record
    try:
        return _unpacked(record)
    except (KeyError, TypeError, IndexError, AttributeError, struct.error) as error:
        raise ValueError(f"not a packed record: {type(error).__name__}") from error


def printed(record: Mapping[str, Any]) -> str:
    r"""A whole record in JSON, spelt as the service spells it.

    Examples
    --------
    >>> printed(whole_record(b'{"version": 3, "entities": {"card": "\u00fc"}}'))
    '{"version":3,"entities":{"card":"ü"}}'
    """
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)


def named_numbers(
    views: Mapping[str, Sequence[str]], transforms: Sequence[str]
) -> dict[str, object]:
    """What the fixed part of a packed record says of its numbers.

    Parameters
    ----------
    views
        Names of each view's values, in the order of the plan.
    transforms
        Names of the outputs of all transforms, in the order of the plan.
    """
    return {"views": views, "outputs": transforms}


def _unpacked(record: Mapping[str, Any]) -> dict[str, Any]:
    views, outputs = record["views"], record["outputs"]
    content = base64.urlsafe_b64decode(record["numbers"])
    n_values, n_views = sum(map(len, views.values())) + len(outputs) + 1, len(views)
    n_wide = n_values + 2 * n_views
    width, rest = divmod(len(content) - 8 * n_wide - n_views, 4)
    if width < 0 or rest:
        raise ValueError(f"not a packed record: {len(content)} bytes of numbers")
    found = iter(struct.unpack(f"<{n_values}d{2 * n_views}q{n_views}B{width}f", content))
    values = {name: _named(names, found) for name, names in views.items()}
    transforms = _named(outputs, found)
    (score,) = _numbers(found, 1)
    ages, seen = (list(islice(found, n_views)) for _ in range(2))
    statuses = [STATUSES[place] for place in islice(found, n_views)]
    features = {
        name: {
            "status": status,
            "age_ms": None if age_ms == NONE else age_ms,
            "seen_position": None if position == NONE else position,
            "values": values[name],
        }
        for name, status, age_ms, position in zip(views, statuses, ages, seen, strict=True)
    }
    return {
        "version": WHOLE,
        **{name: record[name] for name in _FIXED},
        **{name: record.get(name) for name in _ASKED},
        "features": features,
        "transforms": transforms,
        "vector": _numbers(found, width),
        "score": score,
        **{name: record.get(name) for name in (*_ANSWERED, *_TRACED)},
    }


def _named(names: Sequence[str], numbers: Any) -> dict[str, float | None]:
    return dict(zip(names, _numbers(numbers, len(names)), strict=True))


def _numbers(numbers: Any, n: int) -> list[float | None]:
    return [number if isfinite(number) else None for number in islice(numbers, n)]
