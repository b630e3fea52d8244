"""``train``: a training set, the candidates fitted on it, a bundle, a release."""

import argparse
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInputError
from core.sign_offs import roles_of
from orchestration.channels import answered
from orchestration.commands.predict import declared
from orchestration.dates import date_called
from orchestration.shell import Shell
from stores.shelf.shelf import Shelf

if TYPE_CHECKING:
    from orchestration.runs import Runs

METRICS = ("average_precision", "auc")
"""Those that a use case may declare."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("use_case", help="as `throughline status` lists them")
    parser.add_argument("--cut", help="labels known later are unknown; ISO 8601 UTC, default now")
    parser.add_argument(
        "--start", help="first event date of examples; default when windows are filled"
    )


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Train, and say what became of it."""
    from orchestration.runs import Runs

    use_case = declared(shell, arguments.use_case)
    with Runs(shell.settings, shell.say) as runs:
        cut_ms = instant_ms(arguments.cut) if arguments.cut else shell.clock.now_ms()
        start = arguments.start or first_date(runs, use_case.name)
        start = date_called(start, now_ms=shell.clock.now_ms())
        release = train(shell, runs, use_case.name, cut_ms=cut_ms, start_date=start)
    if release is None:
        return 1
    served_if_asked(shell, use_case.name, release)
    role = next(iter(roles_of(use_case.risk_tier, use_case.sign_offs)), "")
    shell.next(
        f"throughline approve {use_case.name} {release} --role {role} --who WHO"
        if role
        else f"throughline score {use_case.name}, or `throughline up`"
    )
    return 0


def served_if_asked(shell: Shell, use_case: str, release: int) -> None:
    """Have what the release left for the controller answered: of a low risk tier it asks itself.

    Where `throughline up` runs, that was done meanwhile and nothing waits.
    """
    board = Shelf(shell.settings.layout.shelf).board
    for request in board.waiting():
        if (request.use_case, request.release) == (use_case, release):
            with shell.step(f"serve release {release} of {use_case}") as step:
                step.detail = answered(shell, request).because


def train(shell: Shell, runs: "Runs", use_case: str, *, cut_ms: int, start_date: str) -> int | None:
    """Materialise everything up to the release; its number, None when the rule refused."""
    from assets import names
    from assets.training import training_config

    config = training_config(use_case, cut_ms=cut_ms, start_date=start_date)
    with shell.step(f"training set of {use_case} from {start_date}") as step:
        made = runs.assets([names.training(use_case)], config=config)
        step.detail = set_in_words(made.metadata_of(names.training(use_case)))
    with shell.step("candidates") as step:
        made = runs.assets([names.candidate(use_case)])
        step.detail = candidate_in_words(made.metadata_of(names.candidate(use_case)))
    with shell.step("beside the champion, and by groups") as step:
        made = runs.assets([names.evaluation(use_case)])
        step.detail = evaluation_in_words(made.metadata_of(names.evaluation(use_case)))
    with shell.step("bundle, behind the parity gate") as step:
        made = runs.assets([names.bundle(use_case)])
        step.detail = bundle_in_words(made.metadata_of(names.bundle(use_case)))
    with shell.step("release") as step:
        made = runs.assets([names.release(use_case)])
        released = made.metadata_of(names.release(use_case))
        step.detail = "; ".join(check.why for check in made.checks)
    return int(released["release"]) if released else None


def first_date(runs: "Runs", use_case: str) -> str:
    """First date whose examples look back on filled windows: see `first_example_date`."""
    from assets.training import first_example_date
    from orchestration.environments import platform_of

    declared = runs.declared
    return first_example_date(
        platform_of(runs.settings), declared.use_cases[use_case], declared.plans[use_case]
    )


def instant_ms(text: str) -> int:
    """Instant that a person wrote: a date or an ISO 8601 instant, UTC unless it says else."""
    from datetime import UTC, datetime

    try:
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise InvalidInputError(
            "an instant cannot be read",
            found=repr(text[:40]),
            remedy="write 2026-01-31 or 2026-01-31T12:00:00Z",
        ) from None
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000)


def set_in_words(made: Any) -> str:
    """A training set as a line."""
    report = made["report"]
    parts = ", ".join(f"{p} {n:,} ({k} positive)" for p, (n, k) in report["parts"].items())
    return f"{report['rows']:,} examples: {parts}; snapshot {report['snapshot'][:12]}"


def candidate_in_words(made: Any) -> str:
    """The chosen candidate as a line."""
    metric = next(m for m in METRICS if m in made)
    return f"{made['chosen']} chosen, {metric} {made[metric]:.4f} on test"


def evaluation_in_words(made: Any) -> str:
    """An evaluation as a line."""
    found = next((made[f"difference_{m}"] for m in METRICS if f"difference_{m}" in made), None)
    return (
        f"champion: {made['champion']}"
        if found is None
        else f"{found:+.4f} against {made['champion']}"
    )


def bundle_in_words(made: Any) -> str:
    """A bundle as a line."""
    parity = made["parity"]
    return (
        f"release {made['release']}; {parity['n_points']:,} points, largest difference "
        f"{parity['largest_difference']:.1e}, {parity['n_flips']} decisions turned"
    )
