"""``rollback``: the champion before this one, or a given former one, serves again."""

import argparse

from core.errors import InvalidInputError
from orchestration.channels import answered, channels_of
from orchestration.commands.predict import declared
from orchestration.fields import name_on_paper, reason_on_paper
from orchestration.shell import Shell
from stores.audit.user import user_name
from stores.shelf.returning import refusal_of, seen_by
from stores.shelf.shelf import Shelf


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("use_case")
    parser.add_argument("release", type=int, nargs="?", help="default the champion before this")
    parser.add_argument(
        "--why", required=True, type=reason_on_paper, help="what went wrong; kept in the record"
    )
    parser.add_argument(
        "--refuse-callers",
        action="store_true",
        help="also where callers of a newer contract are refused from then on",
    )
    parser.add_argument("--who", type=name_on_paper, help="default the user's name")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Ask the controller and print its answer."""
    use_case = declared(shell, arguments.use_case).name
    before = channels_of(shell).state(use_case).champion
    _check_callers(shell, use_case, arguments.release, is_said=arguments.refuse_callers)
    with shell.step(f"roll back {use_case} from release {before}") as step:
        request = Shelf(shell.settings.layout.shelf).board.ask(
            "rollback",
            use_case,
            release=arguments.release,
            may_refuse=arguments.refuse_callers,
            why=arguments.why,
            who=arguments.who or user_name(),
            at_ms=shell.clock.now_ms(),
        )
        because = answered(shell, request).because
        after = channels_of(shell).state(use_case).champion
        step.detail = f"release {after} serves; {because}"
    shell.next("throughline status")
    return 0


def _check_callers(shell: Shell, use_case: str, release: int | None, *, is_said: bool) -> None:
    """Say who would be refused, and how many of them asked in the last day.

    Raises
    ------
    InvalidInputError
        If somebody would be, and nobody said that they may.
    """
    layout, channels = shell.settings.layout, channels_of(shell)
    back = release or next(iter(channels.state(use_case).former_champions), None)
    shelf = Shelf(layout.shelf)
    if back is None or back not in channels.state(use_case).former_champions:
        return  # the controller says what is wrong with that
    refusal = refusal_of(shelf, channels, use_case, back)
    if not refusal:
        return
    found = refusal.sentence()
    if refusal.releases:
        seen = seen_by(layout, use_case, refusal.releases, now_ms=shell.clock.now_ms())
        found = f"{refusal.sentence()}; {seen.sentence()}"
    if not is_said:
        raise InvalidInputError(
            f"going back to release {back} of {use_case} would refuse callers",
            found=found,
            remedy="mend what serves, or say that they may be refused: --refuse-callers",
            code="callers_refused",
        )
    shell.say(f"refused from now on: {found}")
