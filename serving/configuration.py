"""Changed settings, put into the audit log when a process starts: their names, never a value.

A setting may be a secret, so what is kept of each is its mask: two starts can be told apart by it,
and nothing can be read from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.audit.records import Entry
from core.clock import Clock
from core.errors import PlatformError
from serving.process import Told
from serving.settings import Settings
from serving.telemetry.log_lines import Trouble
from stores.audit.log import AuditLog
from stores.durable import exclusive_lock, write_durably
from stores.masking import Mask, ensure_mask


def note_configuration(process: str, settings: Settings, clock: Clock, told: Told) -> None:
    """Put down which settings of ``process`` differ from those of its last start in this home.

    A process that cannot say so starts all the same, and tells.
    """
    try:
        _note(process, settings, clock)
    except (PlatformError, OSError) as error:
        told(Trouble(f"the settings are not in the audit log: {error}"))


def _note(process: str, settings: Settings, clock: Clock) -> None:
    layout = settings.layout
    masks = masked(settings.model_dump(mode="json"), ensure_mask(layout.keys))
    path = layout.state / "configuration" / f"{process}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(path.with_suffix(".lock")):
        before = _kept(path)
        changed = sorted(n for n in {*before, *masks} if before.get(n) != masks.get(n))
        if not changed:
            return
        entry = Entry(
            at_ms=clock.now_ms(),
            what="configuration_changed",
            who=f"whoever started the {process}",
            why="other settings than at its last start" if before else "its first start here",
            about={"process": process, "settings": changed if before else []},
        )
        AuditLog.of(layout, is_signing=False).append([entry])
        write_durably(path, json.dumps(masks, indent=1).encode(), mode=0o600)


def masked(values: Mapping[str, Any], mask: Mask) -> dict[str, str]:
    """Mask of each setting by its dotted name.

    Examples
    --------
    >>> list(masked({"home": "/srv", "http": {"port": 80, "host": "x"}}, Mask(bytes(32))))
    ['home', 'http.port', 'http.host']
    """
    return {name: mask.of(json.dumps(value)) for name, value in _flat(values)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _kept(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
