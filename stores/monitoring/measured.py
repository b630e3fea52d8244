"""How objectives were kept: counts of each UTC date, a file a process, so no two write the same.

::

    state/objectives/<date>/<process>.json    written again and again while the date lasts
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from core.clock import DAY_MS, event_date
from core.errors import IntegrityError
from core.features.plan import Frozen
from core.monitoring.objectives import WINDOW_DAYS, Measured
from stores.durable import write_durably
from stores.layout import Layout

FOLDER = "objectives"


class _Kept(Frozen):
    use_cases: dict[str, Measured]


def put_measured(layout: Layout, date: str, process: str, measured: Mapping[str, Measured]) -> None:
    """Keep what a process counted of a date, in the place of what it counted before."""
    path = layout.state / FOLDER / date / f"{process}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, _Kept(use_cases=dict(measured)).model_dump_json().encode())


def measured_until(layout: Layout, now_ms: int) -> dict[str, Measured]:
    """What all processes counted in the last `WINDOW_DAYS`, today among them, by use case.

    Raises
    ------
    IntegrityError
        If a file cannot be read.
    """
    found: dict[str, Measured] = {}
    for date in _window(now_ms):
        for path in sorted((layout.state / FOLDER / date).glob("[!.]*.json")):
            for name, measured in _read(path).items():
                found[name] = found.get(name, Measured()).merged(measured)
    return found


def forget_measured(layout: Layout, now_ms: int) -> None:
    """Remove dates that nobody asks for any more."""
    kept = set(_window(now_ms))
    for folder in (layout.state / FOLDER).glob("*"):
        if folder.name < min(kept):
            shutil.rmtree(folder, ignore_errors=True)


def _window(now_ms: int) -> list[str]:
    return [event_date(now_ms - n * DAY_MS) for n in range(WINDOW_DAYS)]


def _read(path: Path) -> dict[str, Measured]:
    try:
        return _Kept.model_validate_json(path.read_bytes()).use_cases
    except FileNotFoundError:  # its date is over for good
        return {}
    except (OSError, ValidationError) as error:
        raise IntegrityError(
            "what was counted of objectives cannot be read",
            found=f"{type(error).__name__} at {FOLDER}/{path.parent.name}/{path.name}",
            remedy="remove the file: its requests are then counted for no objective",
            code="bad_measure",
        ) from error
