"""Who works here, for the record: the user whose process it is."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """Name of this process's user; a container may have a number and no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"user {os.getuid()}"
