"""Standard streams that take whatever is said: no text, and no way to start us, is a fault."""

import io
import os
import sys
from pathlib import Path


def open_to_any_text() -> None:
    r"""Spell what a stream's encoding has not (``\xf6``); a closed stream is one that swallows all.

    A person's name is written in a terminal of any kind, by cron and by systemd alike.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
