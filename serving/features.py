"""Reading: from points to feature values, one round trip for all views of all points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.features.blob import base_key, delta_key
from core.features.keys import entity_key
from core.features.plan import Plan, ViewPlan
from core.features.reading import ViewReading, read_view
from serving.contract import Point
from serving.ports import Reader
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

    ``age_ms`` is that of the source for windows, of the row in force for attributes; None
    when unknown. ``seen``: the read knew exactly the entity's rows up to that position, be it
    from its values or from how far the folder had come for everybody; None when nobody knows.
    """

    values: tuple[float | None, ...]
    status: str
    age_ms: int | None
    seen: int | None


Reading = dict[str, ViewValues]


async def read_features(plan: Plan, points: Sequence[Point], reader: Reader) -> list[Reading]:
    """Values of every view of the plan for every point.

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
    slots = [_slots(plan, point, wanted) for point in points]
    values = await reader.read(list(wanted))
    watermarks = {view.name: _watermark(view, wanted, values) for view in plan.views}
    first_ms = {v.name: first_ms_of(values[wanted[covered_key(v.name)]]) for v in plan.views}
    known: dict[tuple[int, int], ViewValues] = {}  # candidates of one request share entities
    readings = []
    for point, of_point in zip(points, slots, strict=True):
        reading: Reading = {}
        for view, (base, delta) in zip(plan.views, of_point, strict=True):
            found = known.get((base, point.at_ms))
            if found is None:
                read = read_view(
                    view, values[base], values[delta], point.at_ms, first_ms[view.name]
                )
                found = _values(view, read, watermarks[view.name], point.at_ms)
                known[base, point.at_ms] = found
            reading[view.name] = found
        readings.append(reading)
    return readings


def no_features(plan: Plan, n_points: int) -> list[Reading]:
    """Readings where nothing could be read: every value null, every view unavailable."""
    nothing = {
        view.name: ViewValues((None,) * len(view.feature_names), UNAVAILABLE, None, None)
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


def _slots(plan: Plan, point: Point, wanted: dict[bytes, int]) -> list[tuple[int, int]]:
    """Places of each view's two keys among the keys to read; the same key is read once."""
    entities: dict[tuple[str, ...], bytes] = {}
    slots = []
    for view in plan.views:
        entity = entities.get(view.join_keys)
        if entity is None:
            entity = entities[view.join_keys] = _entity(view, point)
        keys = base_key(view.name, entity), delta_key(view.name, entity)
        base, delta = (wanted.setdefault(key, len(wanted)) for key in keys)
        slots.append((base, delta))
    return slots


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


def _values(
    view: ViewPlan, found: ViewReading, watermark: Watermark | None, at_ms: int
) -> ViewValues:
    if view.windows:
        newest_ms = None if watermark is None else watermark.available_ms
    else:
        newest_ms = found.newest_ms
    age_ms = None if newest_ms is None else max(0, at_ms - newest_ms)
    seen = (
        found.seen_position if watermark is None else max(found.seen_position, watermark.position)
    )
    return ViewValues(found.values, found.status, age_ms, seen if seen >= 0 else None)
