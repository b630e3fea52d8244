"""``snapshot rebuild``: a training set once more from what it was built from, bit for bit."""

import argparse

from core.errors import InvalidInputError, NotReadyError
from orchestration.shell import Shell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("action", choices=("list", "rebuild"))
    parser.add_argument("id", nargs="?", help="snapshot id, or a beginning of it")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """List what can be rebuilt, or rebuild one; an id that comes out different is an error."""
    known = snapshots(shell)
    if arguments.action == "list":
        for use_case, snapshot in known:
            shell.say(f"  {use_case:<20} {snapshot}")
        shell.next("throughline snapshot rebuild ID")
        return 0
    if not arguments.id:
        raise InvalidInputError("say which snapshot", remedy="throughline snapshot list")
    use_case, snapshot = one_called(arguments.id, known)
    rebuild(shell, use_case, snapshot)
    return 0


def snapshots(shell: Shell) -> list[tuple[str, str]]:
    """Use case and id of every snapshot whose making is on record."""
    folder = shell.settings.layout.snapshots
    return sorted((path.parent.name, path.stem) for path in folder.glob("*/*.json"))


def one_called(start: str, known: list[tuple[str, str]]) -> tuple[str, str]:
    """The one snapshot whose id begins so."""
    found = [pair for pair in known if pair[1].startswith(start)]
    if len(found) != 1:
        raise NotReadyError(
            f"there is no snapshot {start[:40]!r}" if not found else f"{start!r} is not unique",
            found=f"{len(found)} of {len(known)} snapshots begin so",
            remedy="throughline snapshot list",
            code="unknown_snapshot",
        )
    return found[0]


def rebuild(shell: Shell, use_case: str, snapshot: str) -> None:
    """Build again from the recorded versions; the job refuses another id."""
    from orchestration.rebuild import JOB, OP
    from orchestration.runs import Runs

    config = {"ops": {OP: {"config": {"use_case": use_case, "snapshot": snapshot}}}}
    with Runs(shell.settings, shell.say) as runs, shell.step(f"rebuild {snapshot}") as step:
        report = runs.job(JOB, config).only_output
        step.detail = f"{report['rows']:,} rows, the same id: equal bit for bit"
