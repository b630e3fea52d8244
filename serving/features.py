"""Reading: from points to feature values, one round trip for all views of all points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.features.blob import KEY_END, key_starts
from core.features.keys import entity_key
from core.features.plan import Plan
from serving.contract import Point
from serving.ports import Reader
from stores.merging import Library, Merged, Merging, Question
from stores.watermarks import (
    Watermark,
    covered_key,
    decode_watermark,
    first_ms_of,
    watermark_key,
)

UNAVAILABLE = "unavailable"


class ViewValues(NamedTuple):
    """What was read of one view for one point.

    ``values`` has NaN for null. ``age_ms`` is that of the source for windows, of the row in force
    for attributes; ``source_age_ms`` is that of the source for both; None when unknown. ``seen``:
    the read knew exactly the entity's rows up to that position, be it from its values or from how
    far the folder had come for everybody; None when nobody knows.
    """

    values: Sequence[float]
    status: str
    age_ms: int | None
    seen: int | None
    source_age_ms: int | None


Reading = dict[str, ViewValues]


class _Group(NamedTuple):
    """Views of one entity: their join keys, and for each its number and how its keys begin."""

    join_keys: tuple[str, ...]
    views: list[tuple[int, bytes, bytes]]


class FeatureReading:
    """Reads the features of one plan. Made once: no request pays for names.

    Parameters
    ----------
    library
        The compiled merge, where it was built.
    """

    def __init__(self, plan: Plan, library: Library | None) -> None:
        self._merging = Merging(plan, library)
        self._has_windows = [bool(view.windows) for view in plan.views]
        self._columns = [
            (view.name, [f"{view.name}:{name}" for name in view.feature_names])
            for view in plan.views
        ]
        self._requests = [(field.name, f"request:{field.name}") for field in plan.request_fields]
        watermarks = [watermark_key(view.source) for view in plan.views]
        covered = [covered_key(view.name) for view in plan.views]
        self._common = {key: n for n, key in enumerate(dict.fromkeys((*watermarks, *covered)))}
        self._watermarks = [self._common[key] for key in watermarks]
        self._covered = [self._common[key] for key in covered]
        self._groups: list[_Group] = []
        by_keys: dict[tuple[str, ...], _Group] = {}
        self._places: list[tuple[str, int, int]] = []  # name, group, place among its views
        for number, view in enumerate(plan.views):
            group = by_keys.get(view.join_keys)
            if group is None:
                group = by_keys[view.join_keys] = _Group(view.join_keys, [])
                self._groups.append(group)
            self._places.append((view.name, self._groups.index(group), len(group.views)))
            group.views.append((number, *key_starts(view.name)))

    async def read(self, points: Sequence[Point], reader: Reader) -> list[Reading]:
        """Values of every view of the plan for every point.

        Raises
        ------
        InvalidInputError
            If a point lies before what is kept (``at_too_old``).
        DependencyError, IntegrityError, OSError
            If the store fails or holds what cannot be read.
        """
        wanted = self._common.copy()
        questions: list[Question] = []
        asked = self._questions(points, wanted, questions)
        values = await reader.read(list(wanted))
        watermarks = [_watermark(values[k]) for k in self._watermarks]
        first_ms = [first_ms_of(values[k]) for k in self._covered]
        merged = self._merging.merge(questions, values, first_ms)
        found = [
            self._values(question, each, watermarks)
            for question, each in zip(questions, merged, strict=True)
        ]
        places = self._places
        return [
            {name: found[firsts[group] + place] for name, group, place in places}
            for firsts in asked
        ]

    def nothing(self, n_points: int) -> list[Reading]:
        """Readings where nothing could be read: every value null, every view unavailable."""
        nulls = {
            name: ViewValues((math.nan,) * len(columns), UNAVAILABLE, None, None, None)
            for name, columns in self._columns
        }
        return [nulls] * n_points

    def inputs(
        self, points: Sequence[Point], readings: Sequence[Reading]
    ) -> dict[str, NDArray[np.float64]]:
        """Arrays of shape ``(n,)`` by qualified name, as transforms and the vector take them."""
        arrays = {"at_ms": np.array([point.at_ms for point in points], dtype=np.float64)}
        for name, qualified in self._requests:
            column = [point.inputs.get(name) for point in points]
            arrays[qualified] = np.array(column, dtype=np.float64)
        for name, columns in self._columns:
            table = np.array([reading[name].values for reading in readings], dtype=np.float64)
            arrays.update(zip(columns, table.T, strict=True))
        return arrays

    def _questions(
        self, points: Sequence[Point], wanted: dict[bytes, int], questions: list[Question]
    ) -> list[list[int]]:
        """For each point the place of each group's first question; the same is asked once.

        The candidates of one request share entities.
        """
        known: dict[tuple[int, tuple[str | int, ...], int], int] = {}
        asked = []
        for point in points:
            firsts = []
            for number, (join_keys, views) in enumerate(self._groups):
                keys = _keys(join_keys, point)
                mark = number, keys, point.at_ms
                first = known.get(mark)
                if first is None:
                    first = known[mark] = len(questions)
                    entity = entity_key(keys)
                    for view, base, delta in views:
                        at_base = wanted.setdefault(base + entity + KEY_END, len(wanted))
                        at_delta = wanted.setdefault(delta + entity + KEY_END, len(wanted))
                        questions.append((view, at_base, at_delta, point.at_ms))
                firsts.append(first)
            asked.append(firsts)
        return asked

    def _values(
        self, question: Question, found: Merged, watermarks: Sequence[Watermark | None]
    ) -> ViewValues:
        view, at_ms = question[0], question[3]
        values, status, newest_ms, seen = found
        watermark = watermarks[view]
        source_age_ms = None
        if watermark is not None:
            source_age_ms = max(0, at_ms - watermark.available_ms)
            seen = max(seen, watermark.position)
        if self._has_windows[view]:
            age_ms = source_age_ms
        else:
            age_ms = None if newest_ms is None else max(0, at_ms - newest_ms)
        return ViewValues(values, status, age_ms, seen if seen >= 0 else None, source_age_ms)


def _watermark(data: bytes | None) -> Watermark | None:
    return None if data is None else decode_watermark(data)


def _keys(join_keys: Sequence[str], point: Point) -> tuple[str | int, ...]:
    try:
        return tuple([point.keys[name] for name in join_keys])
    except KeyError as error:
        raise InvalidInputError(
            "a view needs a join key that the contract does not carry",
            found=f"no {error.args[0]!r}",
            remedy="build the release again: its contract must carry the join keys of its plan",
            code="contract_incomplete",
        ) from error
