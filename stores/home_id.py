"""Which home this is: a random id kept in it, for whoever must tell its service from another's.

It says nothing of where the home lies or whose it is. A copy of a home carries the same id.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from stores.durable import exclusive_lock, write_durably
from stores.layout import Layout

ID_BYTES = 16


def home_id(layout: Layout) -> str:
    """Id of a home, made when it has none yet; all who ask at once get the same."""
    layout.state.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(layout.state / "home_id.lock"):
        if not known_home_id(layout):
            write_durably(_path(layout), secrets.token_hex(ID_BYTES).encode())
    return known_home_id(layout)


def known_home_id(layout: Layout) -> str:
    """Id of a home; empty where no process of it was ever started. Writes nothing."""
    try:
        return _path(layout).read_text()
    except FileNotFoundError:
        return ""


def _path(layout: Layout) -> Path:
    return layout.state / "home_id"
