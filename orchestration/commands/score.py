"""``score``: batch scores of one as-of date or several, by the champion or a given release."""

import argparse
from typing import TYPE_CHECKING

from core.clock import DAY_MS, event_date
from core.errors import InvalidInputError
from orchestration.commands.predict import declared
from orchestration.dates import dates_called
from orchestration.shell import Shell
from stores.shelf.shelf import Shelf

if TYPE_CHECKING:
    from orchestration.runs import Runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("use_case", help="as `throughline status` lists them")
    parser.add_argument("--as-of", help="YYYY-MM-DD; default yesterday, UTC")
    parser.add_argument("--from", dest="first", help="first of several dates up to --as-of")
    parser.add_argument("--release", type=int, default=0, help="default the champion")
    parser.add_argument("--refresh", action="store_true", help="read the newest table versions")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Score, and say how many."""
    from orchestration.runs import Runs

    now_ms = shell.clock.now_ms()
    as_of = arguments.as_of or event_date(now_ms - DAY_MS)
    first, as_of = dates_called(arguments.first or as_of, as_of, now_ms=now_ms)
    use_case = declared(shell, arguments.use_case).name
    _check_release(shell, use_case, arguments.release)
    with Runs(shell.settings, shell.say) as runs:
        score(
            shell,
            runs,
            use_case,
            as_of,
            arguments.release,
            first=first,
            is_refresh=arguments.refresh,
        )
    shell.next("throughline status")
    return 0


def _check_release(shell: Shell, use_case: str, release: int) -> None:
    """Refuse a release that is not on the shelf before anything is started; 0 is the champion."""
    known = Shelf(shell.settings.layout.shelf).releases(use_case)
    if release and release not in known:
        raise InvalidInputError(
            f"release {release} of {use_case} is not on the shelf",
            found=f"releases {', '.join(map(str, known)) or 'none'}",
            remedy="name one of these, or leave --release out for the champion",
            code="unknown_release",
        )


def score(
    shell: Shell,
    runs: "Runs",
    use_case: str,
    as_of: str,
    release: int = 0,
    *,
    first: str | None = None,
    is_refresh: bool = False,
) -> None:
    """Scores of one date, or of all from ``first`` on, published when they pass the audit."""
    from assets import names

    key = names.scores(use_case)
    config = {"release": release, "refresh": is_refresh}
    when = as_of if first in (None, as_of) else f"{first} to {as_of}"
    with shell.step(f"batch scores of {use_case} as of {when}") as step:
        made = runs.assets(
            [key],
            dates=(first or as_of, as_of),
            config={"ops": {key.to_python_identifier(): {"config": config}}},
        )
        found = made.metadata_of(key)
        audit = next(each.numbers["audit"] for each in made.checks if "audit" in each.numbers)
        decisions = audit["decisions"]
        counts = ", ".join(f"{name} {n:,}" for name, n in decisions.items())
        step.detail = f"{found['rows_scored']:,} rows by release {found['release']}: {counts}"
