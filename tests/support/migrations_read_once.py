"""A database's migrations read once: every Dagster instance would read its ninety files again.

An instance is stamped with the newest of them, once for its runs and once for its events: half
of the time that an instance in memory takes. What they are does not change while tests run.
"""

from __future__ import annotations

from typing import Any

_read: dict[str | None, Any] = {}


def read_migrations_once() -> None:
    """Have Alembic keep the migrations of every folder that it has read. It is slow to import."""
    from alembic import script

    directory: Any = script.ScriptDirectory
    read = directory.from_config

    def from_config(config: Any) -> Any:
        place = config.get_alembic_option("script_location")
        if place not in _read:
            _read[place] = read(config)
        return _read[place]

    directory.from_config = from_config
