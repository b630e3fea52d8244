"""The kernel against the oracle, and its edges."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import world_drawing
import worlds
from example_counts import examples
from numpy.typing import NDArray
from world_arrays import to_arrays
from worlds import World

from core.errors import ConfigurationError, InvalidInputError
from core.features.arrays import Column, Points, Rows
from core.features.kernel import view_values
from core.features.plan import ColumnType, ViewPlan, WindowFeature, WindowFunction

N_WORLDS = 120


@cache
def small_worlds() -> tuple[World, ...]:
    return tuple(worlds.worlds(20_260_101, N_WORLDS))


def dense_view(function: WindowFunction) -> ViewPlan:
    return ViewPlan(
        name="dense_v1",
        entity="card",
        join_keys=("card_id",),
        source="dense",
        columns=world_drawing.WINDOW_COLUMNS,
        windows=tuple(
            WindowFeature(
                name=f"{column}_{function}_{window_ms}",
                function=function,
                column=column,
                window_ms=window_ms,
                grid_ms=grid_ms,
                centre=3.0,
            )
            for column in ("amount_minor", "ratio")
            for window_ms, grid_ms in ((3_600_000, 60_000), (86_400_000, 1_800_000))
        ),
    )


@cache
def dense_world() -> World:
    """One hot key with thousands of rows: long queues, stacks turned over, full registers.

    What is drawn hangs on columns and windows, and not on the function.
    """
    rng = np.random.default_rng(7)
    return worlds.world_of(dense_view("count"), rng, n_points=examples(150), n_rows=4_000)


def compared(world: World) -> worlds.Comparison:
    return worlds.compare(world.expected(), view_values(world.view, *to_arrays(world)))


def test_no_mismatch_over_generated_points_and_plans() -> None:
    """At least 2,000 points with all features, over at least 20 plans; as float64 too."""
    shown = small_worlds()[: examples(N_WORLDS)]
    found = [compared(world) for world in shown]
    assert sum(c.n_points for c in found) >= examples(2_000)
    assert len({world.view.digest for world in shown}) >= 20
    assert [c.mismatches for c in found if c.mismatches] == []
    assert sum(c.n_inexact for c in found) <= 1e-4 * sum(c.n_values for c in found)


def test_generated_plans_cover_every_function_column_and_ttl() -> None:
    windows = [w for world in small_worlds() for w in world.view.windows]
    asked = {(w.function, w.column) for w in windows}
    counters = {(f, c) for f in world_drawing.COUNTERS for c in world_drawing.WINDOW_COLUMNS}
    numeric = [c for c in world_drawing.WINDOW_COLUMNS if c != "merchant"]
    assert asked == counters | {(f, c) for f in world_drawing.NUMERIC for c in numeric}
    assert len({w.window_ms for w in windows}) == 7
    assert {None, 1, 3_600_000} <= {w.view.ttl_ms for w in small_worlds() if w.view.attributes}


@pytest.mark.parametrize(
    "function", ["count", "sum", "mean", "min", "max", "last", "count_distinct", "stddev"]
)
def test_no_mismatch_over_thousands_of_rows_of_a_hot_key(function: WindowFunction) -> None:
    found = compared(replace(dense_world(), view=dense_view(function)))
    assert found.mismatches == ()
    assert found.n_points == examples(150)


def test_no_mismatch_as_seen_up_to_any_position() -> None:
    rng = np.random.default_rng(11)
    for world in small_worlds()[: examples(40)]:
        positions = [row.position for row in world.rows] + [0, 2**62]
        seen = [int(p) for p in rng.choice(positions, size=len(world.points))]
        expected = world.expected_as_seen(seen)
        actual = view_values(world.view, *to_arrays(world, seen))
        assert worlds.compare(expected, actual).mismatches == ()


def test_points_that_know_less_than_earlier_ones_are_answered_right() -> None:
    """Knowledge drawn at random breaks the order that the slides rely on."""
    rng = np.random.default_rng(12)
    for world in small_worlds()[: examples(40)]:
        knowns = [row.available_ms for row in world.rows]
        points = [(e, at_ms, int(rng.choice(knowns))) for e, at_ms, _ in world.points]
        assert compared(replace(world, points=points)).mismatches == ()


def test_order_of_rows_changes_no_bit() -> None:
    rng = np.random.default_rng(13)
    for world in small_worlds()[: examples(20)]:
        rows, points = to_arrays(world)
        order = rng.permutation(len(rows.entity))
        shuffled = Rows(
            rows.entity[order],
            rows.event_ms[order],
            rows.known[order],
            rows.tie_ranks(order),
            {name: shuffled_column(c, order) for name, c in rows.columns.items()},
        )
        one = view_values(world.view, rows, points)
        other = view_values(world.view, shuffled, points)
        assert worlds.compare(one, other).mismatches == ()


def shuffled_column(column: Column, order: NDArray[np.int64]) -> Column:
    valid = None if column.valid is None else column.valid[order]
    return Column(column.values[order], valid)


def test_ranks_of_ties_are_asked_only_for_rows_that_tie() -> None:
    asked: list[int] = []

    def ranks(indices: NDArray[np.int64]) -> NDArray[np.int64]:
        asked.extend(indices.tolist())
        return -indices

    rows = Rows(
        entity=np.array([0, 0, 0, 1]),
        event_ms=np.array([5, 5, 7, 5]),
        known=np.zeros(4, np.int64),
        tie=ranks,
        columns={"x": Column(np.array([1, 2, 3, 4]))},
    )
    points = Points(np.array([0]), np.array([6]), np.array([6]))
    assert view_values(one_feature("last"), rows, points)["x"].tolist() == [1.0]
    assert sorted(asked) == [0, 1]


def one_feature(function: WindowFunction, kind: ColumnType = "int64") -> ViewPlan:
    window = WindowFeature(
        name="x", function=function, column="x", window_ms=60_000, grid_ms=10_000
    )
    return ViewPlan(
        name="v",
        entity="card",
        join_keys=("card",),
        source="s",
        columns={"x": kind},
        windows=(window,),
    )


def arrays_of(n_rows: int, n_points: int) -> tuple[Rows, Points]:
    times = np.arange(n_rows)
    rows = Rows(np.zeros(n_rows, np.int64), times, times, None, {"x": Column(times)})
    at = np.full(n_points, 50)
    return rows, Points(np.zeros(n_points, np.int64), at, at)


@pytest.mark.parametrize("function", ["count", "sum", "count_distinct"])
def test_no_rows_count_zero(function: WindowFunction) -> None:
    assert view_values(one_feature(function), *arrays_of(0, 2))["x"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("function", ["mean", "min", "max", "last", "stddev"])
def test_no_rows_are_null(function: WindowFunction) -> None:
    assert np.isnan(view_values(one_feature(function), *arrays_of(0, 2))["x"]).all()


def test_no_points_is_an_empty_answer() -> None:
    assert view_values(one_feature("sum"), *arrays_of(3, 0))["x"].shape == (0,)


def test_integer_sums_are_exact_though_running_totals_wrap() -> None:
    rows, points = arrays_of(3, 1)
    big = np.array([2**62, 2**62, 5])
    moved = replace(rows, event_ms=np.array([-80_000, -70_000, 40]), columns={"x": Column(big)})
    assert view_values(one_feature("sum"), moved, points)["x"].tolist() == [5.0]


def test_a_row_of_no_entity_is_refused() -> None:
    rows, points = arrays_of(1, 1)
    with pytest.raises(InvalidInputError, match="negative entity code"):
        view_values(one_feature("sum"), replace(rows, entity=np.array([-1])), points)


def test_arithmetic_on_text_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="arithmetic on text"):
        view_values(one_feature("sum", "string"), *arrays_of(1, 1))
