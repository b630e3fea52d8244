"""``views``: which versions of features there are and who reads them; two of them compared."""

import argparse
from collections.abc import Sequence

from core.errors import InvalidInputError
from core.features.comparison import Difference
from core.features.plan import ViewPlan
from core.nearest import or_near
from orchestration.shell import Shell, table

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
        tiles = "attributes" if view.attributes else str(is_table(layout.tiles(name))).lower()
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
    with shell.step(f"{old.name} and {new.name} on the same points") as step:
        found = compared(shell.settings.layout, old, new, arguments.points)
        step.detail = f"{found[0].n_points:,} points" if found else "no feature in common"
    shell.say(_report(found))
    for name, alone, other in ((old.name, old, new), (new.name, new, old)):
        names = [each for each in alone.feature_names if each not in other.feature_names]
        if names:
            shell.say(f"\nonly in {name}: {', '.join(names)}")
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


def _report(found: Sequence[Difference]) -> str:
    head = ("feature", "equal", "lost", "gained", "largest", "mean", "new mean", "correlation")
    rows = [
        (
            each.feature,
            f"{each.n_equal / each.n_points:.2%}",
            f"{each.n_lost:,}",
            f"{each.n_gained:,}",
            f"{each.largest:,.6g}",
            f"{each.mean_before:,.6g}",
            f"{each.mean_after:,.6g}",
            f"{each.correlation:.4f}",
        )
        for each in found
    ]
    return table([head, *rows])
