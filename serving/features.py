"""Reading: from points to feature values, one round trip for all views of all points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.features.blob import base_key, delta_key
from core.features.keys import entity_key
from core.features.plan import Plan, ViewPlan
from serving.contract import Point
from serving.ports import Reader
from stores.merging import Merged, Merging, Question
from stores.watermarks import (
    Watermark,
    covered_key,
    decode_watermark,
    first_ms_of,
    watermark_key,
)

UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class ViewValues:
    """What was read of one view for one point.

    ``values`` has NaN for null. ``age_ms`` is that of the source for windows, of the row in force
    for attributes; None when unknown. ``seen``: the read knew exactly the entity's rows up to that
    position, be it from its values or from how far the folder had come for everybody; None when
    nobody knows.
    """

    values: Sequence[float]
    status: str
    age_ms: int | None
    seen: int | None


Reading = dict[str, ViewValues]


async def read_features(
    plan: Plan, merging: Merging, points: Sequence[Point], reader: Reader
) -> list[Reading]:
    """Values of every view of the plan for every point; ``merging`` is that of the plan.

    Raises
    ------
    InvalidInputError
        If a point lies before what is kept (``at_too_old``).
    DependencyError, IntegrityError, OSError
        If the store fails or holds what cannot be read.
    """
    wanted: dict[bytes, int] = {}
    for view in plan.views:
        for key in (watermark_key(view.source), covered_key(view.name)):
            wanted.setdefault(key, len(wanted))
    questions: dict[Question, int] = {}  # candidates of one request share entities
    asked = [_asked(plan, point, wanted, questions) for point in points]
    values = await reader.read(list(wanted))
    watermarks = [_watermark(view, wanted, values) for view in plan.views]
    first_ms = [first_ms_of(values[wanted[covered_key(view.name)]]) for view in plan.views]
    found = [
        _values(plan.views[question.view], merged, watermarks[question.view], question.at_ms)
        for question, merged in zip(
            questions, merging.merge(list(questions), values, first_ms), strict=True
        )
    ]
    names = [view.name for view in plan.views]
    return [
        {name: found[place] for name, place in zip(names, places, strict=True)} for places in asked
    ]


def no_features(plan: Plan, n_points: int) -> list[Reading]:
    """Readings where nothing could be read: every value null, every view unavailable."""
    nothing = {
        view.name: ViewValues((math.nan,) * len(view.feature_names), UNAVAILABLE, None, None)
        for view in plan.views
    }
    return [nothing] * n_points


def model_inputs(
    plan: Plan, points: Sequence[Point], readings: Sequence[Reading]
) -> dict[str, NDArray[np.float64]]:
    """Arrays of shape ``(n,)`` by qualified name, as transforms and the vector take them."""
    arrays: dict[str, NDArray[np.float64]] = {
        "at_ms": np.array([point.at_ms for point in points], dtype=np.float64)
    }
    for field in plan.request_fields:
        column = [point.inputs.get(field.name) for point in points]
        arrays[f"request:{field.name}"] = np.array(column, dtype=np.float64)
    for view in plan.views:
        table = np.array([reading[view.name].values for reading in readings], dtype=np.float64)
        for index, name in enumerate(view.feature_names):
            arrays[f"{view.name}:{name}"] = table[:, index]
    return arrays


def _asked(
    plan: Plan, point: Point, wanted: dict[bytes, int], questions: dict[Question, int]
) -> list[int]:
    """Places of a point's questions, one a view; the same key is read once."""
    entities: dict[tuple[str, ...], bytes] = {}
    places = []
    for number, view in enumerate(plan.views):
        entity = entities.get(view.join_keys)
        if entity is None:
            entity = entities[view.join_keys] = _entity(view, point)
        base = wanted.setdefault(base_key(view.name, entity), len(wanted))
        delta = wanted.setdefault(delta_key(view.name, entity), len(wanted))
        question = Question(number, base, delta, point.at_ms)
        places.append(questions.setdefault(question, len(questions)))
    return places


def _entity(view: ViewPlan, point: Point) -> bytes:
    try:
        return entity_key([point.keys[name] for name in view.join_keys])
    except KeyError as error:
        raise InvalidInputError(
            "a view needs a join key that the contract does not carry",
            found=f"no {error.args[0]!r}",
            remedy="build the release again: its contract must carry the join keys of its plan",
            code="contract_incomplete",
        ) from error


def _watermark(
    view: ViewPlan, wanted: dict[bytes, int], values: Sequence[bytes | None]
) -> Watermark | None:
    data = values[wanted[watermark_key(view.source)]]
    return None if data is None else decode_watermark(data)


def _values(view: ViewPlan, found: Merged, watermark: Watermark | None, at_ms: int) -> ViewValues:
    if view.windows:
        newest_ms = None if watermark is None else watermark.available_ms
    else:
        newest_ms = found.newest_ms
    age_ms = None if newest_ms is None else max(0, at_ms - newest_ms)
    seen = (
        found.seen_position if watermark is None else max(found.seen_position, watermark.position)
    )
    return ViewValues(found.values, found.status, age_ms, seen if seen >= 0 else None)
