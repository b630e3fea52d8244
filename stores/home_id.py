"""Which home this is: a random id kept in it, for whoever must tell its service from another's.

It says nothing of where the home lies or whose it is. A copy of a home carries the same id.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from core.errors import IntegrityError
from stores.durable import exclusive_lock, write_durably
from stores.layout import Layout

ID_BYTES = 16
_ID = re.compile(rb"[\x21-\x7e]+")


def home_id(layout: Layout) -> str:
    """Id of a home, made when it has none yet; all who ask at once get the same."""
    layout.state.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(layout.state / "home_id.lock"):
        if not known_home_id(layout):
            write_durably(_path(layout), secrets.token_hex(ID_BYTES).encode())
    return known_home_id(layout)


def known_home_id(layout: Layout) -> str:
    """Id of a home; empty where no process of it was ever started. Writes nothing.

    Raises
    ------
    IntegrityError
        If what is kept is no id. Another one would lose what lies under it in the cold tier.
    """
    try:
        found = _path(layout).read_bytes()
    except FileNotFoundError:
        return ""
    if _ID.fullmatch(found) is None:
        raise IntegrityError(
            "the id of this home cannot be read",
            found=f"{len(found)} bytes in {_path(layout).name}",
            remedy="put the file back from a backup, or as the folder of the home in the cold tier "
            "is named; remove it where there is none",
            code="damaged_home_id",
        )
    return found.decode()


def _path(layout: Layout) -> Path:
    return layout.state / "home_id"
