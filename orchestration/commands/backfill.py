"""``backfill``: tiles of a range of event dates, all views in one run."""

import argparse
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from assets.partitions import FIRST_DATE
from core.clock import event_date
from core.errors import InvalidInputError, NotReadyError
from core.nearest import or_near
from orchestration.dates import dates_called
from orchestration.shell import Shell

if TYPE_CHECKING:
    from orchestration.runs import Runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--from", dest="first", help="first date, default the first with events")
    parser.add_argument("--to", dest="last", help="last date, default the last with events")
    parser.add_argument("--view", action="append", help="view to compute; default all with events")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Compute the tiles and say how many there are."""
    from orchestration.runs import Runs

    with Runs(shell.settings, shell.say) as runs:
        first, last = event_dates(runs)
        now_ms = shell.clock.now_ms()
        dates = dates_called(
            arguments.first or max(first, FIRST_DATE),
            arguments.last or min(last, event_date(now_ms)),
            now_ms=now_ms,
        )
        backfill(shell, runs, dates, views_to_fill(shell, runs, arguments.view))
    shell.next("throughline materialise")
    return 0


def backfill(shell: Shell, runs: "Runs", dates: tuple[str, str], views: Iterable[str]) -> None:
    """Tiles of ``views`` for every date of a range, in one run."""
    from assets import names

    keys = [names.tiles(view) for view in views]
    with shell.step(f"tiles of {len(keys)} views, {dates[0]} to {dates[1]}") as step:
        made = runs.assets(keys, dates=dates)
        counts = [int(made.metadata_of(key)["dagster/row_count"]) for key in keys]
        step.detail = f"{sum(counts):,} tiles"


def views_to_fill(shell: Shell, runs: "Runs", asked: list[str] | None) -> list[str]:
    """Views with windows that were asked for; all whose source has events when none was."""
    from assets.tables import is_table

    views = {name: view for name, view in runs.declared.views.items() if view.windows}
    chosen = views_called(list(views), asked)
    if asked:
        return chosen
    layout = shell.settings.layout
    return with_tables(shell, {n: is_table(layout.events(v.source)) for n, v in views.items()})


def with_tables(shell: Shell, views: Mapping[str, bool]) -> list[str]:
    """Views that have what they are made of; the others are said: another team's may be empty."""
    if missing := [name for name, is_there in views.items() if not is_there]:
        shell.say(f"  no tables yet for {', '.join(missing)}: left out")
    return [name for name, is_there in views.items() if is_there]


def views_called(known: list[str], asked: list[str] | None) -> list[str]:
    """Views asked for, all that are known when none was."""
    for name in asked or []:
        if name not in known:
            raise InvalidInputError(
                f"there is no such view here: {name[:60]!r}",
                found=f"views {', '.join(known)}",
                remedy=or_near(name, known),
                code="unknown_view",
            )
    return asked or known


def event_dates(runs: "Runs") -> tuple[str, str]:
    """First and last event date of all sources that views with tiles read."""
    from assets.tables import partition_range

    views = [view for view in runs.declared.views.values() if view.windows]
    uris = {runs.settings.layout.events(view.source) for view in views}
    ranges = [found for uri in sorted(uris) if (found := partition_range(uri, "event_date"))]
    if not ranges:
        raise NotReadyError(
            "there are no events to compute tiles of",
            remedy="throughline ingest SOURCE PATH",
        )
    return min(first for first, _ in ranges), max(last for _, last in ranges)
