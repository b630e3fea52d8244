"""Reading: from points to feature values, one round trip for all views of all points."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInputError
from core.features.blob import KEY_END, key_starts
from core.features.keys import entity_key
from core.features.plan import Plan
from core.features.reading import AT_TOO_OLD
from core.features.value_table import ValueLayout, ValueTable
from serving.engine.contract import Point
from serving.engine.readings import Readings, ViewRows
from serving.ports import Reader
from stores.computing import Computing
from stores.merging import Library
from stores.online.watermarks import covered_key, decode_watermark, first_ms_of, watermark_key
from stores.view_merging import Mark, Marks, Merging, Question


class _Group(NamedTuple):
    """Views of the same join keys: what takes these, and how keys of their values begin.

    Of several join keys they are taken as a tuple, one is taken as it is. Delta comes first of each
    view: between two commands batch may cover what the folder drops.
    """

    taken: Callable[[Mapping[str, str | int]], Any]
    beginnings: list[bytes]


class FeatureReading:
    """Reads the features of one plan. Made once: no request pays for names.

    Parameters
    ----------
    library
        The compiled merge, where it was built.
    """

    def __init__(self, plan: Plan, library: Library | None) -> None:
        self._merging = Merging(plan, library)
        self._rows = ViewRows(plan)
        self._layout = ValueLayout(plan)
        self._computing = Computing(self._layout, library)
        self._requests = [field.name for field in plan.request_fields]
        watermarks = [watermark_key(view.source) for view in plan.views]
        covered = [covered_key(view.name) for view in plan.views]
        self._common = [*dict.fromkeys((*watermarks, *covered))]
        self._marks_at = [
            (self._common.index(mark), self._common.index(head))
            for mark, head in zip(watermarks, covered, strict=True)
        ]
        self._last_marks: tuple[Sequence[bytes | None], Marks] = (), Marks(())
        self._groups = []
        for keys, numbers in self._merging.groups.items():
            starts = [key_starts(plan.views[number].name) for number in numbers]
            beginnings = [start for base, delta in starts for start in (delta, base)]
            self._groups.append(_Group(itemgetter(*keys), beginnings))

    async def read(self, points: Sequence[Point], reader: Reader) -> Readings:
        """Values of every view of the plan for every point, at the instant that the table has.

        That is the point's. Where its caller named none and the clock was put back, it may lie
        before what is kept: then it is the first instant that can be answered, for whoever asks
        about now is not to be refused for what a clock said before.

        Raises
        ------
        InvalidInputError
            If a point of a named instant lies before what is kept (``at_too_old``).
        DependencyError, IntegrityError, OSError
            If the store fails or holds what cannot be read.
        """
        wanted = [*self._common]
        firsts = [_firsts(group, points, wanted) for group in self._groups]
        values = await reader.read(wanted)
        question = Question(firsts, [point.at_ms for point in points], values)
        try:
            return self._merged(points, question)
        except InvalidInputError as error:
            if error.code != AT_TOO_OLD:
                raise
            later = self._later(points, question)
            if later == question.at_ms:
                raise
            return self._merged(points, question._replace(at_ms=later))

    def _merged(self, points: Sequence[Point], question: Question) -> Readings:
        table = self._table(points, question.at_ms)
        begin = self._layout.first_read * len(points)
        marks = self._marks(question.values)
        told = self._merging.merge(question, marks, table.numbers, begin)
        return Readings(self._rows, table, told)

    def _later(self, points: Sequence[Point], question: Question) -> list[int]:
        """Instants of points, those that nobody named no earlier than they can be answered."""
        answerable = self._merging.first_ms(question, self._marks(question.values))
        return [
            first_ms if point.is_of_now else point.at_ms
            for point, first_ms in zip(points, answerable, strict=True)
        ]

    def nothing(self, points: Sequence[Point]) -> Readings:
        """Readings where nothing could be read: every value null, every view unavailable."""
        table = self._table(points, [point.at_ms for point in points])
        return Readings.nothing(self._rows, table)

    def vectors(self, values: ValueTable) -> NDArray[np.float32]:
        """What the model takes; what transforms make is put among the values.

        Raises
        ------
        ConfigurationError, IntegrityError
            As `core.features.transforms.apply_transforms`.
        """
        return self._computing.vectors(values)

    def _table(self, points: Sequence[Point], at_ms: Sequence[int]) -> ValueTable:
        """Instants and request fields of points; all else null."""
        begins: list[float] = [*at_ms]
        for name in self._requests:
            given = [point.inputs.get(name) for point in points]
            begins += [math.nan if value is None else value for value in given]
        return ValueTable(self._layout, len(points), begins)

    def _marks(self, values: Sequence[bytes | None]) -> Marks:
        """What is known of each view, whoever is asked about; mostly what was known before."""
        common = values[: len(self._common)]
        if common != self._last_marks[0]:
            marks = Marks([_mark(common[at], common[head]) for at, head in self._marks_at])
            self._last_marks = common, marks
        return self._last_marks[1]


def _firsts(group: _Group, points: Sequence[Point], wanted: list[bytes]) -> list[int]:
    """Of each point the place in ``wanted`` of its first key; the keys of others are put there.

    The candidates of one request share entities.
    """
    taken, beginnings = group
    try:
        asked = [taken(point.keys) for point in points]
    except KeyError as error:
        raise _no_join_key(error.args[0]) from error
    known: dict[object, int] = {}
    for keys in asked:
        if keys not in known:
            known[keys] = len(wanted)
            ending = entity_key(keys if type(keys) is tuple else (keys,)) + KEY_END
            wanted += [beginning + ending for beginning in beginnings]
    return [known[keys] for keys in asked]


def _mark(watermark: bytes | None, covered: bytes | None) -> Mark:
    first_ms = first_ms_of(covered)
    if watermark is None:
        return Mark(first_ms)
    available_ms, position, _ = decode_watermark(watermark)
    return Mark(first_ms, available_ms, position)


def _no_join_key(name: object) -> InvalidInputError:
    return InvalidInputError(
        "a view needs a join key that the contract does not carry",
        found=f"no {name!r}",
        remedy="build the release again: its contract must carry the join keys of its plan",
        code="contract_incomplete",
    )
