"""Keys of a home under test, as their owners have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from bundles import USE_CASE

from core.access import RateLimit, parsed_scopes
from core.clock import SystemClock
from stores.keys.access_keys import AccessKeyFile
from stores.layout import Layout


def made_key(layout: Layout, scopes: Sequence[str], **more: Any) -> str:
    """A fresh key with these scopes."""
    now_ms = SystemClock().now_ms()
    return AccessKeyFile(layout.access).create(
        owner="tests", scopes=parsed_scopes(scopes), who="ada", why="", now_ms=now_ms, **more
    )


class InferenceKeys(NamedTuple):
    """A key that opens models, one that opens something else, one that has three rows to ask."""

    opens: str
    other: str
    slow: str


def inference_keys(layout: Layout) -> InferenceKeys:
    """Keys for models, fresh ones."""
    return InferenceKeys(
        opens=made_key(layout, [f"{USE_CASE}:predict"]),
        other=made_key(layout, [f"{USE_CASE}:explain"]),
        slow=made_key(layout, [f"{USE_CASE}:predict"], rate=RateLimit(per_s=0.01, burst=3)),
    )
