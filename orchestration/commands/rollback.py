"""``rollback``: the champion before this one, or a given former one, serves again."""

import argparse

from orchestration.channels import answered, channels_of
from orchestration.commands.predict import declared
from orchestration.fields import name_on_paper, reason_on_paper, user_name
from orchestration.shell import Shell
from stores.shelf import Shelf


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("use_case")
    parser.add_argument("release", type=int, nargs="?", help="default the champion before this")
    parser.add_argument(
        "--why", required=True, type=reason_on_paper, help="what went wrong; kept in the record"
    )
    parser.add_argument("--who", type=name_on_paper, help="default the user's name")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Ask the controller and print its answer."""
    use_case = declared(shell, arguments.use_case).name
    before = channels_of(shell).state(use_case).champion
    with shell.step(f"roll back {use_case} from release {before}") as step:
        request = Shelf(shell.settings.layout.shelf).board.ask(
            "rollback",
            use_case,
            release=arguments.release,
            why=arguments.why,
            who=arguments.who or user_name(),
            at_ms=shell.clock.now_ms(),
        )
        because = answered(shell, request).because
        after = channels_of(shell).state(use_case).champion
        step.detail = f"release {after} serves; {because}"
    shell.next("throughline status")
    return 0
