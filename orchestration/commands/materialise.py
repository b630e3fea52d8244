"""``materialise``: the base half of the online values, from the tables as they stand."""

import argparse
from typing import TYPE_CHECKING

from orchestration.shell import Shell

if TYPE_CHECKING:
    from orchestration.runs import Runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes: nothing."""
    parser.epilog = "Writes every view anew; what the folder wrote since is kept."


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Write the values and say how many there are."""
    from orchestration.runs import Runs

    with Runs(shell.settings, shell.say) as runs:
        materialise(shell, runs)
    shell.next("throughline train, or `throughline up`")
    return 0


def materialise(shell: Shell, runs: "Runs") -> None:
    """Online values of all views, in one run."""
    from assets import names

    keys = [names.online(view) for view in runs.declared.views]
    with shell.step(f"online values of {len(keys)} views") as step:
        made = runs.assets(keys)
        counts = [int(made.metadata_of(key)["dagster/row_count"]) for key in keys]
        step.detail = f"{sum(counts):,} entities"
