"""Versions of contracts, ``major.minor``: callers of one major are answered by any minor of it."""

from __future__ import annotations

import re
from typing import NamedTuple

FIRST_VERSION = "1.0"
VERSION_PATTERN = r"^[1-9][0-9]{0,3}\.(0|[1-9][0-9]{0,3})$"
_SAID = re.compile(r"([1-9][0-9]{0,3})(?:\.(0|[1-9][0-9]{0,3}))?")


class Said(NamedTuple):
    """What a caller says it speaks: a major, and the minor that it needs, 0 for any."""

    major: int
    minor: int


def is_first(version: str) -> bool:
    """Whether it is the version of what declares none."""
    return version == FIRST_VERSION


def parts_of(version: str) -> tuple[int, int]:
    """Major and minor of a version.

    Examples
    --------
    >>> parts_of("2.10") > parts_of("2.9")
    True
    """
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def major_of(version: str) -> int:
    """Major of a version.

    Examples
    --------
    >>> major_of("2.10")
    2
    """
    return parts_of(version)[0]


def said_version(text: str) -> Said | None:
    """What a caller says by a header or an argument; None where it is no version.

    Examples
    --------
    >>> said_version("2"), said_version("2.1"), said_version("two")
    (Said(major=2, minor=0), Said(major=2, minor=1), None)
    """
    found = _SAID.fullmatch(text)
    return Said(int(found[1]), int(found[2] or 0)) if found else None
