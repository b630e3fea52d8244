"""Columns of a pass: what compiled code says of all its points is what Python says of each."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cache
from typing import Any, get_args

import numpy as np
import pytest
from batches import base_of
from compiled_merge import built
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from core.clock import DAY_MS, MINUTE_MS
from core.errors import IntegrityError, InvalidInputError
from core.features.fold import FoldEvent, fold
from core.features.partials import RawRow
from core.features.plan import AttributeFeature, Plan, ViewPlan, WindowFeature
from core.features.reading import Status, read_view
from core.packed_records import NONE, STATUSES
from stores.merging import Library
from stores.view_merging import (
    AGES,
    ASKED,
    SEEN,
    SOURCE_AGES,
    Mark,
    Marks,
    Merging,
    Question,
    Told,
)

NOW = 40 * DAY_MS
LONGEST_MS = 2**63 - 1


def windows_of(name: str, key: str, *functions: str) -> ViewPlan:
    return ViewPlan(
        name=name,
        entity=key,
        join_keys=(key,),
        source="s",
        columns={"x": "int64"},
        windows=tuple(
            WindowFeature(
                name=f, function=f, column="x", window_ms=60 * MINUTE_MS, grid_ms=MINUTE_MS
            )
            for f in functions
        ),
    )


STATE = ViewPlan(
    name="state_v1",
    entity="card",
    join_keys=("card",),
    source="states",
    columns={"x": "int64"},
    ttl_ms=DAY_MS,
    attributes=(AttributeFeature(name="x", column="x"),),
)
VIEWS = (
    windows_of("activity_v1", "card", "count", "sum", "mean"),
    windows_of("risk_v1", "terminal", "count", "max"),
    STATE,
    windows_of("spread_v1", "terminal", "stddev"),  # compiled code does not know it
)
PLAN = Plan(service="s", views=VIEWS, transforms=(), request_fields=(), vector=())
WIDTH = sum(len(view.feature_names) for view in VIEWS)
GROUPS = (("card",), (0, 2)), (("terminal",), (1, 3))


@cache
def stored(view: int, entity: int) -> tuple[bytes | None, bytes | None]:
    """Delta and base of an entity: it has both, one of them, or none."""
    base = delta = None
    if entity % 2:
        rows = [RawRow(NOW - 9_000 + n, 0, b"", 0, (n + entity,)) for n in range(3)]
        base = base_of(VIEWS[view], rows, epoch=1, head_ms=NOW - 60_000)
    if entity // 2 % 2:
        at_ms = NOW - (2 * DAY_MS if entity > 3 else 5_000)
        events = [FoldEvent(2, n, f"e{n}", at_ms, at_ms + n, {"x": n}) for n in range(entity)]
        delta = fold(VIEWS[view], None, events, now_ms=NOW, base_epoch=-1)
    return delta, base


def asked(points: Sequence[tuple[int, int, int]]) -> Question:
    """Question about cards, terminals and instants; what several share is asked for once."""
    values: list[bytes | None] = []
    groups = []
    for place, (_, views) in enumerate(GROUPS):
        known: dict[int, int] = {}
        for point in points:
            if point[place] not in known:
                known[point[place]] = len(values)
                for view in views:
                    values += stored(view, point[place])
        groups.append([known[point[place]] for point in points])
    return Question(groups, [at_ms for _, _, at_ms in points], values)


def told(
    library: Library | None, question: Question, marks: Sequence[Mark]
) -> tuple[Told, array[float]]:
    """What is told, and the numbers, behind which nothing is written."""
    n_points = len(question.at_ms)
    numbers = array("d", bytes(8 * n_points * (WIDTH + 1)))
    merging = Merging(PLAN, library)
    assert tuple((keys, tuple(of)) for keys, of in merging.groups.items()) == GROUPS
    found = merging.merge(question, Marks(marks), numbers, n_points // 2)
    assert not any(numbers[: n_points // 2])
    assert not any(numbers[n_points // 2 + n_points * WIDTH :])
    return found, numbers


MARKS = st.builds(
    Mark,
    st.sampled_from([None, 0, NOW - 60_000]),
    st.sampled_from([None, NOW - 3_000, NOW + 3_000, -(2**63) + 1]),
    st.sampled_from([NONE, 5, 3 << 32]),
)
INSTANTS = st.sampled_from([NOW, NOW - 4_000, NOW + 7, NOW + 3 * DAY_MS])
POINTS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3), INSTANTS), min_size=1, max_size=9)


@settings(max_examples=examples(300), deadline=None)
@given(POINTS, st.lists(MARKS, min_size=len(VIEWS), max_size=len(VIEWS)))
def test_compiled_code_says_of_all_points_what_python_says_of_them(
    points: list[tuple[int, int, int]], marks: list[Mark]
):
    question = asked(points)
    ours, numbers = told(built(), question, marks)
    theirs, expected = told(None, question, marks)

    assert numbers.tobytes() == expected.tobytes()
    assert (ours.statuses, ours.numbers) == (theirs.statuses, theirs.numbers)


@pytest.mark.parametrize("is_compiled", [True, False])
def test_columns_hold_what_the_reader_says_of_each_point_alone(is_compiled: bool):
    points = [(card, card % 3, at_ms) for card in range(8) for at_ms in (NOW, NOW + 3 * DAY_MS)]
    question = asked(points)
    marks = [Mark(None, NOW - 1_000, 7), Mark(), Mark(None, NOW + 5, NONE), Mark(0, NOW, NONE)]
    found, numbers = told(built() if is_compiled else None, question, marks)

    n, row = len(points), n_before(points)
    ages, seen, source_ages = (column_of(found, number) for number in (AGES, SEEN, SOURCE_AGES))
    for number, (view, mark) in enumerate(zip(VIEWS, marks, strict=True)):
        for place, (card, terminal, at_ms) in enumerate(points):
            delta, base = stored(number, terminal if view.entity == "terminal" else card)
            expected = read_view(view, base, delta, at_ms, mark.first_ms)
            cell = number * n + place
            of_view = numbers[row + place : row + len(expected.values) * n : n]
            assert [None if x != x else x for x in of_view] == list(expected.values)
            assert STATUSES[found.statuses[cell]] == expected.status
            assert seen[cell] == max(expected.seen_position, mark.position)
            assert source_ages[cell] == age(at_ms, mark.available_ms)
            is_windows = bool(view.windows)
            assert ages[cell] == (
                source_ages[cell] if is_windows else age(at_ms, expected.newest_ms)
            )
        row += len(view.feature_names) * n


def column_of(found: Told, number: int) -> array[int]:
    return found.numbers[number * found.n_cells : (number + 1) * found.n_cells]


def n_before(points: Sequence[Any]) -> int:
    return len(points) // 2


def age(at_ms: int, then_ms: int | None) -> int:
    return NONE if then_ms is None else max(0, at_ms - then_ms)


@pytest.mark.parametrize("is_compiled", [True, False])
def test_who_asked_the_same_is_the_first_of_those_that_follow_each_other(is_compiled: bool):
    points = [(1, 0, NOW), (2, 0, NOW), (1, 0, NOW), (1, 0, NOW + 7), (1, 1, NOW + 7), (1, 1, NOW)]
    found, _ = told(built() if is_compiled else None, asked(points), [Mark()] * len(VIEWS))
    of_card, of_terminal = [0, 1, 0, 3, 3, 5], [0, 0, 0, 3, 4, 5]

    assert column_of(found, ASKED).tolist() == [
        *of_card, *of_terminal, *of_card, *of_terminal
    ]  # fmt: skip


@pytest.mark.parametrize("is_compiled", [True, False])
def test_ages_beyond_all_numbers_are_the_longest_there_is(is_compiled: bool):
    marks = [Mark(None, -(2**63) + 1, NONE)] * len(VIEWS)
    found, _ = told(built() if is_compiled else None, asked([(1, 1, NOW)]), marks)

    assert column_of(found, SOURCE_AGES).tolist() == [LONGEST_MS] * len(VIEWS)


@pytest.mark.parametrize("is_compiled", [True, False])
def test_one_point_that_is_too_old_refuses_the_pass(is_compiled: bool):
    question = asked([(1, 1, NOW), (1, 1, NOW - DAY_MS)])
    with pytest.raises(InvalidInputError) as caught:
        told(built() if is_compiled else None, question, [Mark()] * len(VIEWS))
    assert caught.value.code == "at_too_old"


@pytest.mark.parametrize("is_compiled", [True, False])
def test_a_plan_without_views_is_told_nothing(is_compiled: bool):
    plan = PLAN.model_copy(update={"views": ()})
    merging, numbers = Merging(plan, built() if is_compiled else None), array("d", (1.0,))
    found = merging.merge(Question([], [NOW], [b"a"]), Marks([]), numbers, 1)

    assert (found.n_cells, len(found.statuses), len(found.numbers)) == (0, 0, 0)
    assert numbers.tolist() == [1.0]


def test_records_know_every_status_by_the_same_number():
    assert STATUSES[: len(get_args(Status))] == get_args(Status)


MARKED = "seen > mark[M_POSITION] ? seen : mark[M_POSITION]"
FIRST = "firsts[view[V_GROUP] * n + point]"
MUTANTS = {
    "instants_do_not_matter": ("given.at_ms[leader] == given.at_ms[point]", "1"),
    "an_age_is_that_of_the_row": ("is_attributes ? age_of", "1 ? age_of"),
    "positions_of_the_source_are_lost": (MARKED, "seen"),
    "a_leader_s_values_are_not_copied": ("= numbers[k * n + leader]", "= 0.0"),
    "all_groups_are_the_first": (FIRST, "firsts[point]"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_wrong_columns_are_caught(name: str):
    wrong, rng = built(*MUTANTS[name]), np.random.default_rng(3)
    differing = 0
    for _ in range(60):
        drawn = rng.integers(0, (8, 4, 4), (6, 3)).tolist()
        instants = (NOW, NOW - 4_000, NOW + 7, NOW + 3 * DAY_MS)
        question = asked([(card, terminal, instants[n]) for card, terminal, n in drawn])
        marks = [Mark(NOW - 2_000 if rng.random() < 0.2 else None, NOW - 3_000, 3 << 32)] * 4
        differing += said(wrong, question, marks) != said(None, question, marks)
    assert differing


def said(library: Library | None, question: Question, marks: Sequence[Mark]) -> object:
    try:
        found, numbers = told(library, question, marks)
    except (InvalidInputError, IntegrityError) as error:
        return error.code
    return numbers.tobytes(), found.statuses, found.numbers
