"""``materialise``: the base half of the online values, from the tables as they stand."""

import argparse
from typing import TYPE_CHECKING

from core.features.plan import ViewPlan
from orchestration.commands.backfill import views_called, with_tables
from orchestration.commands.train import instant_ms
from orchestration.shell import Shell
from stores.layout import Layout

if TYPE_CHECKING:
    from orchestration.runs import Runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--view", action="append", help="view to write; default all with tables")
    parser.add_argument(
        "--at",
        help="the present to write for, ISO 8601 UTC, default now: points from five minutes "
        "before it on can be answered; rows dated later wait in the value",
    )
    parser.epilog = "Writes every view anew; what the folder wrote since is kept."


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Write the values and say how many there are."""
    from orchestration.runs import Runs

    at_ms = instant_ms(arguments.at) if arguments.at else 0
    with Runs(shell.settings, shell.say) as runs:
        known = runs.declared.views
        chosen = views_called(list(known), arguments.view)
        if not arguments.view:
            layout = shell.settings.layout
            chosen = with_tables(shell, {n: has_tables(layout, view) for n, view in known.items()})
        materialise(shell, runs, chosen or list(known), at_ms)
    shell.next("throughline train USE_CASE, or `throughline up`")
    return 0


def has_tables(layout: Layout, view: ViewPlan) -> bool:
    """Whether there is what a view's values are written from."""
    from assets.tables import is_table

    needed = [layout.events(view.source), *([layout.tiles(view.name)] if view.windows else [])]
    return all(is_table(uri) for uri in needed)


def materialise(shell: Shell, runs: "Runs", views: list[str] | None = None, at_ms: int = 0) -> None:
    """Online values of ``views``, all when None, in one run; for now when ``at_ms`` is 0."""
    from assets import names

    keys = [names.online(view) for view in (views or runs.declared.views)]
    config = {key.to_python_identifier(): {"config": {"at_ms": at_ms}} for key in keys}
    with shell.step(f"online values of {len(keys)} views") as step:
        made = runs.assets(keys, config={"ops": config})
        counts = [int(made.metadata_of(key)["dagster/row_count"]) for key in keys]
        step.detail = f"{sum(counts):,} entities"
