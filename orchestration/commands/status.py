"""``status``: what is there, read from files and tables alone; nothing has to run."""

import argparse
from typing import TYPE_CHECKING

from core.clock import event_date
from orchestration.addresses import read_addresses
from orchestration.channels import channels_of
from orchestration.client import is_ours
from orchestration.processes import answers
from orchestration.shell import Shell, table
from stores.shelf.channels import ChannelState
from stores.shelf.shelf import Shelf

NO_TABLE, RUNNING = "no table", "running"
TAKEN = "not running; another home's, or another program, answers there"

if TYPE_CHECKING:
    from assets.declared import Declared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes: nothing."""
    parser.epilog = "Reads only; nothing has to be running."


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Print sources, views, models and processes."""
    from orchestration.code_location import declared_by

    declared = declared_by(shell.settings, is_kept=False)
    shell.say(f"home {shell.settings.layout.root}\n")
    sources = _sources(shell, declared)
    shell.say(table([("source", "rows", "log", "table", "refused"), *sources]))
    shell.say("")
    shell.say(table([("view", "tiles", "entity"), *_views(shell, declared)]))
    shell.say("")
    shell.say(table([("use case", "served", "releases", "snapshots"), *_models(shell, declared)]))
    shell.say("")
    processes = _processes(shell)
    shell.say(table(processes))
    has_rows = any(rows != NO_TABLE for _, rows, *_ in sources)
    shell.next(_next(has_rows=has_rows, processes=processes))
    return 0


def _next(*, has_rows: bool, processes: list[tuple[str, ...]]) -> str:
    """What a reader of all this may want: rows, then processes, then a look at them."""
    if not has_rows:
        return "throughline demo, or your own files: docs/first-use-case.md"
    running = {name: address for name, state, address in processes if state == RUNNING}
    console = running.get("console")
    return f"look at {console}" if console else "throughline up"


def _sources(shell: Shell, declared: "Declared") -> list[tuple[str, ...]]:
    from orchestration.environments import platform_of
    from orchestration.sensors import log_state

    platform, layout = platform_of(shell.settings), shell.settings.layout
    rows: list[tuple[str, ...]] = []
    for name in declared.sources:
        state = log_state(platform, name)
        log = f"epoch {state.last_sealed}" + (" and open" if state.open_bytes else "")
        rows.append(
            (
                name,
                _rows(layout.events(name)),
                log,
                f"epoch {state.ingested}",
                _rows(layout.rejected(name)),
            )
        )
    return rows


def _views(shell: Shell, declared: "Declared") -> list[tuple[str, ...]]:
    layout = shell.settings.layout
    return [
        (name, _rows(layout.tiles(name)) if view.windows else "attributes", view.entity)
        for name, view in declared.views.items()
    ]


def _models(shell: Shell, declared: "Declared") -> list[tuple[str, ...]]:
    channels, shelf = channels_of(shell), Shelf(shell.settings.layout.shelf)
    folder = shell.settings.layout.snapshots
    rows: list[tuple[str, ...]] = []
    for name in declared.use_cases:
        releases = ", ".join(str(n) for n in shelf.releases(name)) or "none"
        n_snapshots = len(list((folder / name).glob("*.json")))
        rows.append((name, _served(channels.state(name)), releases, str(n_snapshots)))
    return rows


def _served(state: ChannelState) -> str:
    """Champion, and what is beside it: ``1 (2 at 5%)``."""
    beside = []
    if state.challenger is not None:
        beside.append(f"{state.challenger} at {state.challenger_weight:.0%}")
    if state.shadow is not None:
        beside.append(f"shadow {state.shadow}")
    for kept in state.older:
        if kept.release is not None:
            until = event_date(kept.until_ms)
            beside.append(f"{kept.release} for contract {kept.major} until {until}")
    return str(state.champion or "none") + (f" ({', '.join(beside)})" if beside else "")


def _processes(shell: Shell) -> list[tuple[str, ...]]:
    layout = shell.settings.layout
    said = read_addresses(layout)
    has_service = bool(said.service) and is_ours(said.service, layout)
    probes = {
        "service": (said.service, "/livez"),
        "console": (said.console, "/livez"),
        "ui": (said.ui, "/server_info"),
        "mlflow": (said.mlflow, "/health"),
    }
    rows = [("process", "state", "address")]
    for name, (address, path) in probes.items():
        is_up = bool(address) and answers(address + path)
        # All live and die with the service: where it is gone, who answers is somebody else.
        state = RUNNING if is_up and has_service else TAKEN if is_up else "not running"
        rows.append((name, state, address))
    return list(rows)


def _rows(uri: str) -> str:
    from assets.tables import facts_of, is_table

    return f"{facts_of(uri).rows:,}" if is_table(uri) else NO_TABLE
