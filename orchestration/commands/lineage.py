"""``lineage``: what a thing was made of, and what is made of it."""

import argparse
import json
from collections.abc import Sequence
from typing import get_args

from core.errors import InvalidInputError
from core.lineage import Found, Kind, Lineage, Thing
from orchestration.channels import channels_of
from orchestration.shell import Shell

LIKE_IT = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("kind", choices=get_args(Kind), metavar="KIND", help="; ".join(_EXAMPLES))
    parser.add_argument("name", help="its name, as in the examples")
    parser.add_argument("--json", action="store_true", help="things and arrows, for programs")


_EXAMPLES = (
    "column transactions.amount_minor",
    "feature card_activity_v1:amount_minor_sum_1d",
    "release fraud/1",
    "prediction ID",
    "also source, view, request, label, rule, use_case, file, epoch, table, snapshot, run, channel",
)


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    """Print both directions, nearest first."""
    from orchestration.code_location import declared_by
    from orchestration.lineage import lineage_of, with_prediction

    layout = shell.settings.layout
    declared = declared_by(shell.settings, is_kept=False)
    lineage = lineage_of(layout, declared, channels_of(shell))
    thing = Thing(arguments.kind, arguments.name)
    if thing.kind == "prediction":
        thing = with_prediction(lineage, layout, thing.name)
    if thing not in lineage:
        raise _unknown(lineage, thing)
    before, after = lineage.comes_from(thing), lineage.leads_to(thing)
    if arguments.json:
        shell.say(json.dumps(_document(lineage, thing, before, after), indent=2))
        return 0
    shell.say(str(thing))
    shell.say("\ncomes from" if before else "\ncomes from nothing else that is known")
    _say(shell, before)
    shell.say("\nleads to" if after else "\nleads to nothing")
    _say(shell, after)
    return 0


def _say(shell: Shell, found: Sequence[Found]) -> None:
    """A line a kind and number of steps: all things of it, names side by side."""
    groups: dict[tuple[int, str], list[str]] = {}
    for each in found:
        groups.setdefault((each.steps, each.thing.kind), []).append(each.thing.name)
    width = max((len(kind) for _, kind in groups), default=0)
    for (steps, kind), names in groups.items():
        for place, name in enumerate(sorted(names)):
            head = f"{steps:>3}  {kind.ljust(width)}" if place == 0 else " " * (5 + width)
            shell.say(f"{head}  {name}")


def _document(
    lineage: Lineage, thing: Thing, before: Sequence[Found], after: Sequence[Found]
) -> dict[str, object]:
    held = {thing, *(found.thing for found in before), *(found.thing for found in after)}
    return {
        "thing": str(thing),
        "comes_from": [{"thing": str(f.thing), "steps": f.steps} for f in before],
        "leads_to": [{"thing": str(f.thing), "steps": f.steps} for f in after],
        "arrows": [[str(one), str(other)] for one, other in lineage.arrows if {one, other} <= held],
    }


def _unknown(lineage: Lineage, thing: Thing) -> InvalidInputError:
    last = thing.name.replace(":", ".").rpartition(".")[2]
    alike = [str(one) for one in lineage.named(last) if one.kind == thing.kind]
    alike = alike or [str(one) for one in lineage.named("") if one.kind == thing.kind]
    return InvalidInputError(
        f"there is no {thing.kind} of this name",
        found=repr(thing.name[:80]),
        remedy=f"there is: {'; '.join(alike[:LIKE_IT])}" if alike else "there is none of this kind",
        code="unknown_thing",
    )
