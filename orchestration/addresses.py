"""Where the running processes of this installation answer: one small file below home."""

import json
from pathlib import Path

from core.features.plan import Frozen
from stores.durable import write_durably
from stores.layout import Layout


class Addresses(Frozen):
    """Base addresses; empty where the process is not part of what was started."""

    service: str = ""
    console: str = ""
    ui: str = ""
    mlflow: str = ""


def addresses_path(layout: Layout) -> Path:
    """The file."""
    return layout.state / "addresses.json"


def write_addresses(layout: Layout, addresses: Addresses) -> None:
    """Say where things answer; for whoever started them."""
    layout.state.mkdir(parents=True, exist_ok=True)
    write_durably(addresses_path(layout), addresses.model_dump_json(indent=1).encode())


def read_addresses(layout: Layout) -> Addresses:
    """What was said last; nothing where nobody is running."""
    path = addresses_path(layout)
    if not path.is_file():
        return Addresses()
    return Addresses.model_validate(json.loads(path.read_text()))


def forget_addresses(layout: Layout) -> None:
    """Nothing answers any more."""
    addresses_path(layout).unlink(missing_ok=True)
