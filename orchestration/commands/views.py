"""``views``: which versions of features there are and who reads them; two of them compared."""

import argparse
from collections.abc import Sequence

from core.errors import InvalidInputError
from core.features.comparison import Difference, ViewReport
from core.features.plan import ViewPlan
from core.nearest import or_near
from orchestration.shell import Shell, table
from stores.view_reports import ViewReports

N_POINTS = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="every view, and who reads it")
    compare = actions.add_parser("compare", help="the values of two versions on the same points")
    compare.add_argument("old", help="a view, as card_activity_v1")
    compare.add_argument("new", help="its next version, as card_activity_v2")
    compare.add_argument("--points", type=int, default=N_POINTS, help=f"default {N_POINTS:,}")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """List views, or compare two."""
    if arguments.action == "list":
        return _list(shell)
    return _compare(arguments, shell)


def _list(shell: Shell) -> int:
    from assets.tables import is_table
    from feature_store.plans import declared_once
    from orchestration.code_location import upheld_by

    declared, layout = upheld_by(shell.settings, is_kept=False), shell.settings.layout
    readers: dict[str, list[str]] = {}
    for name, plan in declared.plans.items():
        for view in plan.views:
            readers.setdefault(view.name, []).append(f"use case {name}")
    for manifest in declared.in_use:
        for view in manifest.plan.views:
            readers.setdefault(view.name, []).append(
                f"release {manifest.use_case}/{manifest.release}"
            )
    rows = [("view", "entity", "source", "tiles", "read by")]
    known = {view.name: view for view in declared_once(layout)} | declared.views
    for name, view in sorted(known.items()):
        tiles = "built" if is_table(layout.tiles(name)) else "not built yet"
        if view.attributes:
            tiles = "none: attributes"
        read_by = ", ".join(readers.get(name, [])) or "nobody; goes with the next sweep"
        rows.append((name, view.entity, view.source, tiles, read_by))
    shell.say(table(rows))
    shell.next("throughline views compare OLD NEW")
    return 0


def _compare(arguments: argparse.Namespace, shell: Shell) -> int:
    from orchestration.code_location import upheld_by
    from orchestration.views import compared

    if arguments.points < 1:
        raise InvalidInputError(
            "compare at one point at least", found=f"--points {arguments.points}"
        )
    known = upheld_by(shell.settings, is_kept=False).views
    old, new = (_view(known, name) for name in (arguments.old, arguments.new))
    layout, now_ms = shell.settings.layout, shell.clock.now_ms()
    with shell.step(f"{old.name} and {new.name} on the same points") as step:
        report = compared(layout, old, new, arguments.points, at_ms=now_ms)
        step.detail = f"{report.n_points:,} points"
    _say(shell, report)
    kept = ViewReports(layout.view_reports).put(report)
    shell.say(f"\nkept for the model card of releases that use {new.name}: {kept}")
    shell.next(f"name features of {new.name} in the service, then `throughline train USE_CASE`")
    return 0


def _view(known: "dict[str, ViewPlan]", name: str) -> ViewPlan:
    if name not in known:
        raise InvalidInputError(
            f"there is no view {name[:80]!r}",
            found=f"views {', '.join(sorted(known))}",
            remedy=or_near(name, known, "throughline views list"),
            code="unknown_view",
        )
    return known[name]


def _say(shell: Shell, report: ViewReport) -> None:
    shell.say(_table(report.differences) if report.differences else "no feature in common")
    for name, names in ((report.old, report.only_in_old), (report.new, report.only_in_new)):
        if names:
            shell.say(f"\nonly in {name}: {', '.join(names)}")


def _table(found: Sequence[Difference]) -> str:
    head = ("feature", "equal", "lost", "gained", "largest", "mean", "new mean", "correlation")
    rows = [
        (
            each.feature,
            f"{each.equal_share:.2%}",
            f"{each.n_lost:,}",
            f"{each.n_gained:,}",
            f"{each.largest:,.6g}",
            _number(each.mean_before, ",.6g"),
            _number(each.mean_after, ",.6g"),
            _number(each.correlation, ".4f"),
        )
        for each in found
    ]
    return table([head, *rows])


def _number(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)
