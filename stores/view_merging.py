"""Views merged: the online values of a pass's entities into feature values, as columns.

Compiled code (`stores.merging`) answers for all views and points in one call; what it leaves, and
all where there is none, is answered by the reader in Python. Both say the same to the last bit.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import NamedTuple, get_args

from core.features.merge_program import program_of
from core.features.plan import Plan
from core.features.reading import Status, ViewReading, reader_of
from core.packed_records import NONE, STATUSES
from stores.merging import Library

N_COLUMNS = 4
AGES, SEEN, SOURCE_AGES, ASKED = range(N_COLUMNS)
"""Columns of `Told.numbers`, in the order in which ``Pass`` in ``merge/merge.c`` has them."""

NEVER_MS = -(2**63)
"""Stands in `Marks.packed` for an instant where there is none."""

_ASK_PYTHON = len(get_args(Status))
"""The status of what compiled code leaves, by its number: behind those that a reader knows."""

_LONGEST_MS = 2**63 - 1
_NO_PROGRAM = -1


class Mark(NamedTuple):
    """What is known of a view whoever is asked about: of its last finished base, and its source.

    Attributes
    ----------
    first_ms
        The base's head, as `ViewReader.read` takes it. None for none.
    available_ms, position
        The source's watermark. None and -1 for none.
    """

    first_ms: int | None = None
    available_ms: int | None = None
    position: int = NONE


class Marks:
    """Marks of all views of a plan, in order; as compiled code takes them, too."""

    def __init__(self, each: Sequence[Mark]) -> None:
        self.each = tuple(each)
        self.packed = [
            NEVER_MS if number is None else number for mark in self.each for number in mark
        ]


class Told:
    """What a merge says of views beside their values: columns of shape ``(views, points)``.

    Attributes
    ----------
    statuses
        A place in `core.packed_records.STATUSES` each.
    numbers
        Ages (ms), positions seen, ages of the sources (ms), and who asked the same, each
        ``n_cells`` long: column `AGES` begins at ``AGES * n_cells``. ``NONE``: an age or position
        is not known. Who asked the same, which only a merge itself looks at, is the first of the
        points that were told the same of a view, as those are that share an entity; where others
        asked in between it may be a later one.
    """

    __slots__ = ("n_cells", "numbers", "statuses")

    def __init__(self, n_cells: int) -> None:
        self.n_cells = n_cells
        self.statuses = array("B", (_ASK_PYTHON,)) * n_cells
        self.numbers = array("q", bytes(8 * N_COLUMNS * n_cells))

    def put(self, cell: int, found: ViewReading, ages_ms: tuple[int, int], position: int) -> None:
        """Put down what a reader in Python found, its age and that of its source."""
        age_ms, source_age_ms = ages_ms
        seen = max(found.seen_position, position)
        self.statuses[cell] = STATUSES.index(found.status)
        for column, number in ((AGES, age_ms), (SEEN, seen), (SOURCE_AGES, source_age_ms)):
            self.numbers[column * self.n_cells + cell] = number

    def repeat(self, cell: int, other: int) -> None:
        """Put down what was told in another cell, that of who asked the same."""
        self.statuses[cell] = self.statuses[other]
        self.numbers[cell :: self.n_cells] = self.numbers[other :: self.n_cells]

    def copy(self) -> Told:
        """The same, to be changed."""
        copied = Told(0)
        copied.n_cells = self.n_cells
        copied.statuses, copied.numbers = self.statuses[:], self.numbers[:]
        return copied


class Question(NamedTuple):
    """What a pass asks.

    Attributes
    ----------
    groups
        For each group of views with the same join keys, and each point, the place among ``values``
        of the first value of its entity. They are delta and base of the group's views in order.
    at_ms
        The points' instants.
    values
        What stands under all keys that were read.
    """

    groups: Sequence[Sequence[int]]
    at_ms: Sequence[int]
    values: Sequence[bytes | None]


class Merging:
    """Merges for one plan.

    Parameters
    ----------
    library
        The compiled merge. Without it all is merged in Python.

    Attributes
    ----------
    groups
        Views by their join keys, in the order of the plan: numbers of the views of each.
    """

    def __init__(self, plan: Plan, library: Library | None) -> None:
        self._library = library
        self._readers = [reader_of(view) for view in plan.views]
        self._has_windows = [bool(view.windows) for view in plan.views]
        self.groups: dict[tuple[str, ...], list[int]] = {}
        self._programs = array("q")
        self._views = array("q")
        self._places: list[tuple[int, int, int, int]] = []
        row = 0
        for number, view in enumerate(plan.views):
            group = self.groups.setdefault(view.join_keys, [])
            group_number, width = [*self.groups].index(view.join_keys), len(view.feature_names)
            self._places.append((group_number, 2 * len(group), row, width))
            program = program_of(view)
            start = _NO_PROGRAM if program is None else len(self._programs)
            self._views.extend((start, *self._places[-1]))
            self._programs.extend(program or ())
            group.append(number)
            row += width
        self._room = array("d", bytes(8 * max((width for *_, width in self._places), default=0)))
        fixed = self._programs, self._views, self._room  # they stay where they are
        self._addresses = [numbers.buffer_info()[0] for numbers in fixed]

    def merge(self, question: Question, marks: Marks, numbers: array[float], begin: int) -> Told:
        """Answers to what a pass asks.

        Parameters
        ----------
        marks
            Of each view.
        numbers
            Where values are put down from ``begin`` on, NaN for null: a row a feature in the order
            of the views, and in it a number a point.

        Raises
        ------
        InvalidInputError, IntegrityError
            As `ViewReader.read`.
        """
        told = Told(len(self._readers) * len(question.at_ms))
        if not told.n_cells:
            return told
        if self._library is None:
            self._put_leaders(question, told)
            n_left = told.n_cells
        else:
            n_left = self._compiled(self._library, question, marks, told, (numbers, begin))
        if n_left:
            self._put_left(question, marks, told, (numbers, begin))
        return told

    def first_ms(self, question: Question, marks: Marks) -> list[int]:
        """Of each point its instant, or the first one after it that all its views can answer.

        Raises
        ------
        IntegrityError
            As `ViewReader.read`.
        """
        found = [*question.at_ms]
        for view, mark in enumerate(marks.each):
            for point, at_ms in enumerate(found):
                base, delta = self._values(view, point, question)
                first_ms = self._readers[view].first_ms(base, delta, mark.first_ms)
                found[point] = at_ms if first_ms is None else max(at_ms, first_ms)
        return found

    def _compiled(
        self,
        library: Library,
        question: Question,
        marks: Marks,
        told: Told,
        out: tuple[array[float], int],
    ) -> int:
        """Put down what compiled code knows; how many answers are left."""
        values, n_values = question.values, len(question.values)
        room = array("q", bytes(16 * n_values))
        rooms, columns = room.buffer_info()[0], told.numbers.buffer_info()[0]
        numbers, begin = out
        given = [
            len(self._readers),
            len(question.groups),
            len(question.at_ms),
            n_values,
            *self._addresses,
            rooms,
            rooms + 8 * n_values,
            numbers.buffer_info()[0] + 8 * begin,
            told.statuses.buffer_info()[0],
            *range(columns, columns + N_COLUMNS * 8 * told.n_cells, 8 * told.n_cells),
        ]
        given += marks.packed
        for firsts in question.groups:
            given += firsts
        given += question.at_ms
        given += [-1 if value is None else len(value) for value in values]
        packed = array("q", given)
        data = b"".join(filter(None, values))  # one copy costs less than a pointer a value
        n_left: int = library.throughline_merge(packed.buffer_info()[0], data)
        return n_left

    def _put_leaders(self, question: Question, told: Told) -> None:
        """Put down who asked the same, as compiled code does."""
        n_points = len(question.at_ms)
        for view, (group, *_) in enumerate(self._places):
            leaders: dict[int, int] = {}
            for point, first in enumerate(question.groups[group]):
                leader = leaders.get(first)
                if leader is None or question.at_ms[leader] != question.at_ms[point]:
                    leader = leaders[first] = point
                told.numbers[ASKED * told.n_cells + view * n_points + point] = leader

    def _put_left(
        self, question: Question, marks: Marks, told: Told, out: tuple[array[float], int]
    ) -> None:
        """Put down what the readers in Python say of all that is left."""
        numbers, begin = out
        n_points, n_cells = len(question.at_ms), told.n_cells
        for cell, status in enumerate(told.statuses):
            if status != _ASK_PYTHON:
                continue
            view, point = divmod(cell, n_points)
            _, _, row, width = self._places[view]
            leader = told.numbers[ASKED * n_cells + cell]
            places = range(begin + row * n_points, begin + (row + width) * n_points, n_points)
            if leader != point:
                for place in places:
                    numbers[place + point] = numbers[place + leader]
                told.repeat(cell, cell - point + leader)
                continue
            found = self._in_python(view, point, question, marks.each[view])
            for place, value in zip(places, found.values, strict=True):
                numbers[place + point] = math.nan if value is None else value
            ages_ms = self._ages_ms(view, found, marks.each[view], question.at_ms[point])
            told.put(cell, found, ages_ms, marks.each[view].position)

    def _ages_ms(self, view: int, found: ViewReading, mark: Mark, at_ms: int) -> tuple[int, int]:
        """Age of an answer, and of its source."""
        source_age_ms = _age_ms(at_ms, mark.available_ms)
        if self._has_windows[view]:
            return source_age_ms, source_age_ms
        return _age_ms(at_ms, found.newest_ms), source_age_ms

    def _in_python(self, view: int, point: int, question: Question, mark: Mark) -> ViewReading:
        base, delta = self._values(view, point, question)
        return self._readers[view].read(base, delta, question.at_ms[point], mark.first_ms)

    def _values(
        self, view: int, point: int, question: Question
    ) -> tuple[bytes | None, bytes | None]:
        """Base and delta of a point's entity."""
        group, offset, _, _ = self._places[view]
        delta = question.groups[group][point] + offset
        return question.values[delta + 1], question.values[delta]


def _age_ms(at_ms: int, then_ms: int | None) -> int:
    return NONE if then_ms is None else min(max(0, at_ms - then_ms), _LONGEST_MS)
