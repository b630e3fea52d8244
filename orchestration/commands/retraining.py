"""``retraining``: whether a use case would be trained again now, and why (not)."""

import argparse

from core.retraining import Hold, retraining_decision
from orchestration.commands.predict import declared
from orchestration.shell import Shell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("use_case", help="as `throughline status` lists them")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Decide as the sensor does, and start nothing."""
    from assets.retraining import signals_of, state_of
    from orchestration.environments import platform_of
    from orchestration.runs import Runs

    use_case = declared(shell, arguments.use_case)
    if use_case.retraining is None:
        shell.say(f"{use_case.name} declares no trigger: it is trained by a person alone")
        shell.next(f"throughline train {use_case.name}")
        return 0
    platform = platform_of(shell.settings)
    with Runs(shell.settings, shell.say) as runs:
        state = state_of(runs.instance, platform, use_case)
        signals = signals_of(runs.instance, platform, use_case)
    found = retraining_decision(use_case.retraining, state, signals, now_ms=shell.clock.now_ms())
    if isinstance(found, Hold):
        shell.say(f"{use_case.name} is not trained again now:")
        for words in found.reasons:
            shell.say(f"  {words}")
        return 0
    shell.say(f"{use_case.name} is due, by {found.trigger.replace('_', ' ')}: {found.why}")
    shell.say("its sensor starts the run, within five minutes of Dagster's daemon being up")
    return 0
