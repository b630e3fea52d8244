"""Lineage: what a thing was made of and what is made of it, one step drawn, all steps listed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple, get_args
from urllib.parse import urlencode

from core.lineage import Found, Kind, Lineage, Thing, prediction_things
from serving.console.pages import Asking, Drawn, Page
from serving.errors import NotFoundError
from stores.lineage import put_made
from stores.records.ids import parse_record_id

SHOWN, DRAWN_OF_A_KIND, FOUND_AT_MOST = 60, 3, 60
BOX_WIDTH, BOX_HEIGHT, BOX_GAP, SIDE_GAP = 236, 30, 10, 60
SIGNS = 32


class Box(NamedTuple):
    """A thing of the drawing, or all of a kind: what stands there, where it leads, its corner."""

    label: str
    about: str
    href: str
    x: int = 0
    y: int = 0


def address(thing: Thing) -> str:
    """Page of a thing.

    Examples
    --------
    >>> address(Thing("release", "fraud/3"))
    '/lineage?kind=release&name=fraud%2F3'
    """
    return f"/lineage?{urlencode({'kind': thing.kind, 'name': thing.name})}"


async def lineage(asked: Asking) -> Drawn:
    """A thing with both directions; without one, what there is, by a part of its name."""
    if "kind" not in asked.query:
        return await asyncio.to_thread(_searched, asked)
    thing = _thing(asked)
    release = await _release_of(asked, thing) if thing.kind == "prediction" else None
    return await asyncio.to_thread(_drawn, asked, thing, release)


def _thing(asked: Asking) -> Thing:
    kind, name = asked.query["kind"], asked.query.get("name", "")
    known: tuple[Kind, ...] = get_args(Kind)
    for each in known:
        if each == kind:
            return Thing(each, name)
    raise _unknown(f"things of the kind {kind[:40]!r}", f"kinds are {', '.join(known)}")


async def _release_of(asked: Asking, thing: Thing) -> tuple[str, int]:
    """Use case and release that made a prediction."""
    use_case = parse_record_id(thing.name).use_case
    asked.require("passports", use_case)
    record = await asked.home.passports.record(thing.name)
    return use_case, int(record["model"]["release"])


def _graph(asked: Asking) -> Lineage:
    """What the use cases that the key opens have released, and what that was made of."""
    found, home = Lineage(), asked.home
    put_made(found, home.layout, home.channels(), use_cases=asked.use_cases())
    return found


def _searched(asked: Asking) -> Drawn:
    part = asked.query.get("q", "").strip()
    graph = _graph(asked)
    things = [thing for thing in graph.named(part) if part or thing.kind == "release"]
    shown = sorted(things, key=lambda thing: (get_args(Kind).index(thing.kind), thing.name))
    groups = [
        (kind, [(thing.name, address(thing)) for thing in of_kind])
        for kind, of_kind in groupby(shown[:FOUND_AT_MOST], key=lambda thing: thing.kind)
    ]
    return Drawn(
        "lineage.html", {"part": part, "groups": groups, "n_more": len(shown[FOUND_AT_MOST:])}
    )


def _drawn(asked: Asking, thing: Thing, release: tuple[str, int] | None) -> Drawn:
    graph = _graph(asked)
    if release is not None:
        prediction_things(graph, thing.name, *release)
    if thing not in graph:
        raise _unknown(str(thing)[:120], "a part of a name finds what there is (/lineage)")
    before, after = graph.comes_from(thing), graph.leads_to(thing)
    facts = {
        "thing": thing,
        "before": _steps(before),
        "after": _steps(after),
        "drawing": _drawing(thing, before, after),
    }
    return Drawn("lineage_of.html", facts)


def _unknown(what: str, remedy: str) -> NotFoundError:
    return NotFoundError(f"there is nothing here like {what}", remedy=remedy, code="unknown_thing")


def _steps(found: Sequence[Found]) -> list[dict[str, Any]]:
    """A row for each number of steps and kind, nearest first."""
    rows = []
    for (steps, kind), group in groupby(
        sorted(found, key=lambda each: (each.steps, get_args(Kind).index(each.thing.kind))),
        key=lambda each: (each.steps, each.thing.kind),
    ):
        things = sorted(each.thing for each in group)
        links = [(thing.name, address(thing)) for thing in things[:SHOWN]]
        rows.append({"steps": steps, "kind": kind, "links": links, "n_more": len(things) - SHOWN})
    return rows


def _drawing(thing: Thing, before: Sequence[Found], after: Sequence[Found]) -> dict[str, Any]:
    """Boxes and lines of one step in both directions, the thing in the middle."""
    left, right = _boxes(before, "#before"), _boxes(after, "#after")
    height = max(1, len(left), len(right)) * (BOX_HEIGHT + BOX_GAP) + BOX_GAP
    step = BOX_WIDTH + SIDE_GAP
    placed = [_column(boxes, at * step, height) for at, boxes in ((0, left), (2, right))]
    (middle,) = _column([_box(thing)], step, height)
    lines = [(_right(box), _left(middle)) for box in placed[0]]
    lines += [(_right(middle), _left(box)) for box in placed[1]]
    boxes = [*placed[0], *placed[1]]
    width = 2 * step + BOX_WIDTH
    return {"width": width, "height": height, "boxes": boxes, "middle": middle, "lines": lines}


def _boxes(found: Sequence[Found], listed: str) -> list[Box]:
    """A box a thing, and one for all of a kind of which there are many."""
    boxes: list[Box] = []
    for kind in get_args(Kind):
        things = sorted(each.thing for each in found if each.steps == 1 and each.thing.kind == kind)
        if len(things) <= DRAWN_OF_A_KIND:
            boxes += [_box(thing) for thing in things]
        else:
            label = f"{len(things)} {kind.replace('_', ' ')}s"
            boxes.append(Box(label, "listed below", listed))
    return boxes


def _box(thing: Thing) -> Box:
    """A thing by its name, cut in the middle where it is long."""
    name, half = thing.name, SIGNS // 2 - 1
    label = name if len(name) <= SIGNS else f"{name[:half]}…{name[-half:]}"
    return Box(label, str(thing), address(thing))


def _column(boxes: Sequence[Box], x: int, height: int) -> list[Box]:
    top = (height - len(boxes) * (BOX_HEIGHT + BOX_GAP) + BOX_GAP) // 2
    return [box._replace(x=x, y=top + n * (BOX_HEIGHT + BOX_GAP)) for n, box in enumerate(boxes)]


def _right(box: Box) -> tuple[int, int]:
    return box.x + BOX_WIDTH, box.y + BOX_HEIGHT // 2


def _left(box: Box) -> tuple[int, int]:
    return box.x, box.y + BOX_HEIGHT // 2


PAGES = (Page("/lineage", lineage, "rollouts"),)
