"""Reading: from points to feature values, one round trip for all views of all points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.features.blob import KEY_END, key_starts
from core.features.keys import entity_key
from core.features.plan import Plan
from core.features.value_table import ValueLayout, ValueTable
from serving.engine.contract import Point
from serving.engine.readings import NONE, STATUSES, Readings, ViewRows
from serving.ports import Reader
from stores.computing import Computing
from stores.merging import Library, Merged, Merging, Question
from stores.online.watermarks import (
    Watermark,
    covered_key,
    decode_watermark,
    first_ms_of,
    watermark_key,
)


class _Group(NamedTuple):
    """Views of one entity: what takes its join keys, and for each its number and its keys' starts.

    Of several keys they are taken as a tuple, one is taken as it is.
    """

    taken: Callable[[Mapping[str, str | int]], Any]
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
        self._rows = ViewRows(plan)
        self._layout = ValueLayout(plan)
        self._computing = Computing(self._layout, library)
        self._requests = [field.name for field in plan.request_fields]
        watermarks = [watermark_key(view.source) for view in plan.views]
        covered = [covered_key(view.name) for view in plan.views]
        self._common = {key: n for n, key in enumerate(dict.fromkeys((*watermarks, *covered)))}
        self._watermarks = [self._common[key] for key in watermarks]
        self._covered = [self._common[key] for key in covered]
        self._groups: list[_Group] = []
        by_keys: dict[tuple[str, ...], _Group] = {}
        self._places: list[tuple[int, int]] = []  # of each view: group, place among its views
        for number, view in enumerate(plan.views):
            group = by_keys.get(view.join_keys)
            if group is None:
                group = by_keys[view.join_keys] = _Group(itemgetter(*view.join_keys), [])
                self._groups.append(group)
            self._places.append((self._groups.index(group), len(group.views)))
            group.views.append((number, *key_starts(view.name)))
        self._group_of_row, self._place_in_group = self._rows_of(plan)

    def _rows_of(self, plan: Plan) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """For each value in the order of views its group, and its place among the group's values.

        Questions of one group and point follow each other, and so do the values of their answers.
        """
        widths = [len(view.feature_names) for view in plan.views]
        of_rows: list[tuple[int, int]] = []
        for view, (group, place) in enumerate(self._places):
            before = sum(widths[number] for number, _, _ in self._groups[group].views[:place])
            of_rows += [(group, before + column) for column in range(widths[view])]
        groups, places = zip(*of_rows, strict=True) if of_rows else ((), ())
        return np.array(groups, dtype=np.intp), np.array(places, dtype=np.intp)[:, None]

    async def read(self, points: Sequence[Point], reader: Reader) -> Readings:
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
        merged, numbers, starts = self._merging.merge(questions, values, first_ms)
        told = self._told(questions, merged, watermarks)
        begins = np.array([[starts[first] for first in firsts] for firsts in asked], dtype=np.intp)
        rows = begins.T.take(self._group_of_row, axis=0) + self._place_in_group
        firsts = np.array(asked, dtype=np.int64).reshape(len(points), len(self._groups)).T
        groups, places = np.array(self._places, dtype=np.int64).reshape(-1, 2).T
        asked_of = firsts[groups] + places[:, None]
        statuses, ages_ms, seen, source_ages_ms = told[:, asked_of]
        return Readings(
            self._rows,
            numbers.take(rows),
            statuses.astype(np.uint8),
            ages_ms=ages_ms,
            seen=seen,
            source_ages_ms=source_ages_ms,
            asked=asked_of,
        )

    def nothing(self, n_points: int) -> Readings:
        """Readings where nothing could be read: every value null, every view unavailable."""
        return Readings.nothing(self._rows, n_points)

    def inputs(self, points: Sequence[Point], readings: Readings) -> ValueTable:
        """Values by qualified name, as transforms and the vector take them."""
        table = ValueTable(self._layout, len(points))
        rows = table.array
        rows[0] = [point.at_ms for point in points]
        for row, name in enumerate(self._requests, 1):
            rows[row] = np.array([point.inputs.get(name) for point in points], dtype=np.float64)
        rows[self._layout.first_read : self._layout.first_made] = readings.numbers
        return table

    def vectors(self, values: ValueTable) -> NDArray[np.float32]:
        """What the model takes; what transforms make is put among the values.

        Raises
        ------
        ConfigurationError, IntegrityError
            As `core.features.transforms.apply_transforms`.
        """
        return self._computing.vectors(values)

    def _questions(
        self, points: Sequence[Point], wanted: dict[bytes, int], questions: list[Question]
    ) -> list[tuple[int, ...]]:
        """For each point the place of each group's first question; the same is asked once.

        The candidates of one request share entities.
        """
        firsts_of_groups = []
        for taken, views in self._groups:
            known: dict[object, int] = {}
            firsts = []
            for point in points:
                keys, at_ms = _taken(taken, point), point.at_ms
                first = known.get((keys, at_ms))
                if first is None:
                    first = known[keys, at_ms] = len(questions)
                    parts = keys if type(keys) is tuple else (keys,)
                    ending = entity_key(parts) + KEY_END
                    for view, base, delta in views:
                        # Delta first: between two commands batch may cover what the folder drops.
                        at_delta = wanted.setdefault(delta + ending, len(wanted))
                        at_base = wanted.setdefault(base + ending, len(wanted))
                        questions.append((view, at_base, at_delta, at_ms))
                firsts.append(first)
            firsts_of_groups.append(firsts)
        return list(zip(*firsts_of_groups, strict=True)) if firsts_of_groups else [()] * len(points)

    def _told(
        self,
        questions: Sequence[Question],
        merged: Sequence[Merged],
        watermarks: Sequence[Watermark | None],
    ) -> NDArray[np.int64]:
        """Of each question status, age, position seen and the source's age, shape ``(4, n)``."""
        told = []
        for (view, _, _, at_ms), (_, status, newest_ms, seen) in zip(
            questions, merged, strict=True
        ):
            watermark, source_age_ms, position = watermarks[view], NONE, seen
            if watermark is not None:
                source_age_ms = max(0, at_ms - watermark.available_ms)
                position = max(seen, watermark.position)
            age_ms = source_age_ms
            if not self._has_windows[view]:
                age_ms = NONE if newest_ms is None else max(0, at_ms - newest_ms)
            told.append((STATUSES.index(status), age_ms, max(position, NONE), source_age_ms))
        return np.array(told, dtype=np.int64).reshape(-1, 4).T


def _watermark(data: bytes | None) -> Watermark | None:
    return None if data is None else decode_watermark(data)


def _taken(taken: Callable[[Mapping[str, str | int]], Any], point: Point) -> Any:
    try:
        return taken(point.keys)
    except KeyError as error:
        raise InvalidInputError(
            "a view needs a join key that the contract does not carry",
            found=f"no {error.args[0]!r}",
            remedy="build the release again: its contract must carry the join keys of its plan",
            code="contract_incomplete",
        ) from error
