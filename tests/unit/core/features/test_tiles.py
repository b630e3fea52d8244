"""Tiles: batch's values at a midnight, the same bits in any order, cut at any head."""

from __future__ import annotations

import numpy as np
import pytest
from batches import arrays_of, bases, taken
from example_counts import examples
from mutants import mutant
from world_drawing import window_view
from worlds import Mismatch, World, compare, worlds

from core.clock import DAY_MS
from core.errors import InvalidInputError
from core.features import oracle, sums
from core.features import tile_values as values_module
from core.features.arrays import Column, Rows
from core.features.base_values import base_values, raw_from_ms
from core.features.fold import oldest_start_ms
from core.features.oracle import SeenUpTo
from core.features.partials import NEEDS
from core.features.plan import ViewPlan, WindowFeature
from core.features.reading import read_view
from core.features.tiles import build_tiles, tile_columns, tile_values

EVERYTHING = SeenUpTo(2**63)


def window_worlds(seed: int, n: int, **sizes: int) -> list[World]:
    return [world for world in worlds(seed, n, **sizes) if world.view.windows]


def midnights(world: World) -> list[int]:
    """The midnights in which windows of the world's rows end or begin."""
    days = {row.event_ms // DAY_MS for row in world.rows}
    return sorted({(day + shift) * DAY_MS for day in days for shift in (0, 1, 7)})[::2]


def test_values_at_midnights_equal_the_oracle_for_every_entity():
    n_points, mismatches = 0, list[Mismatch]()
    for world in window_worlds(21, examples(54)):
        entities = sorted({row.entity for row in world.rows})
        tiles = build_tiles(world.view, *arrays_of(world.view, world.rows))
        for at_ms in midnights(world):
            answers = [
                oracle.view_values(world.view, world.rows, entity, at_ms, EVERYTHING)
                for entity in entities
            ]
            expected = {
                name: np.array(
                    [np.nan if a[name] is None else a[name] for a in answers], np.float64
                )
                for name in world.view.feature_names
            }
            comparison = compare(expected, tile_values(world.view, tiles, at_ms))
            n_points += comparison.n_points
            mismatches += comparison.mismatches

    assert mismatches == []
    assert n_points >= examples(2_000)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("starts_ms >= start_ms", "starts_ms > start_ms"),
        ("starts_ms < at_ms", "starts_ms <= at_ms"),
    ],
)
def test_wrong_edges_at_midnight_are_caught(old: str, new: str):
    wrong = mutant(values_module, old, new)
    differ: list[Mismatch] = []
    for world in window_worlds(21, 12):
        tiles = build_tiles(world.view, *arrays_of(world.view, world.rows))
        for at_ms in midnights(world):
            right = tile_values(world.view, tiles, at_ms)
            differ += compare(right, wrong.tile_values(world.view, tiles, at_ms)).mismatches
    assert differ


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    """Equal bit by bit, minus zero and NaN included."""
    return all(
        first[name].tolist() == second[name].tolist()
        if first[name].dtype == object
        else first[name].tobytes() == second[name].tobytes()
        for name in first
    )


def test_rows_in_another_order_give_the_same_tiles_bit_by_bit():
    rng = np.random.default_rng(3)
    for world in window_worlds(22, examples(15)):
        rows, ids = arrays_of(world.view, world.rows)
        tiles = build_tiles(world.view, rows, ids)
        order = rng.permutation(len(world.rows))

        assert same(tiles, build_tiles(world.view, taken(rows, order), ids[order]))


def test_tiles_built_date_by_date_are_those_built_at_once():
    for world in window_worlds(23, examples(15)):
        rows, ids = arrays_of(world.view, world.rows)
        whole = build_tiles(world.view, rows, ids)
        parts = []
        for date in np.unique(rows.event_ms // DAY_MS):
            of_date = np.flatnonzero(rows.event_ms // DAY_MS == date)
            parts.append(build_tiles(world.view, taken(rows, of_date), ids[of_date]))
        joined = {name: np.concatenate([part[name] for part in parts]) for name in whole}
        order = np.lexsort((joined["tile_start_ms"], joined["entity"], joined["grid_ms"]))

        assert same(whole, {name: array[order] for name, array in joined.items()})


def test_columns_are_those_told_and_never_null():
    for world in window_worlds(24, 9):
        tiles = build_tiles(world.view, *arrays_of(world.view, world.rows))
        types = dict(tile_columns(world.view))

        assert set(tiles) == {"entity", "grid_ms", "tile_start_ms", *types}
        for name, kind in types.items():
            expected = {"int64": np.int64, "float64": np.float64, "binary": object}[kind]
            assert tiles[name].dtype == expected
            assert all(value is not None for value in tiles[name].tolist())


def view_of(
    function: str, kind: str, window_ms: int = DAY_MS, grid_ms: int = 3_600_000
) -> ViewPlan:
    return ViewPlan(
        name="v1",
        entity="card",
        join_keys=("card",),
        source="s",
        columns={"x": kind},
        windows=(
            WindowFeature(
                name="x", function=function, column="x", window_ms=window_ms, grid_ms=grid_ms
            ),
        ),
    )


def floats(values: np.ndarray, event_ms: np.ndarray) -> Rows:
    zeros = np.zeros(len(values), np.int64)
    return Rows(zeros, event_ms, event_ms, None, {"x": Column(values)})


def test_a_hot_key_with_a_heavy_tail_sums_as_exactly_as_fsum():
    rng = np.random.default_rng(9)
    values = rng.standard_cauchy(50_000) * 10.0 ** rng.uniform(-8, 8, 50_000)
    event_ms = rng.integers(0, DAY_MS, 50_000)
    tiles = build_tiles(view_of("sum", "float64"), floats(values, event_ms))
    total = tile_values(view_of("sum", "float64"), tiles, DAY_MS)["x"][0]

    import math

    assert total == math.fsum(values)
    assert sums.add(0.0, 0.0, 1.0) == (1.0, 0.0)


def test_no_rows_make_no_tiles_and_entities_without_tiles_get_the_values_of_none():
    view = window_view(np.random.default_rng(1), "v1", n_features=14)
    empty = np.zeros(0, np.int64)
    columns = {
        c: Column(np.zeros(0, np.float64) if kind == "float64" else np.zeros(0, np.int64))
        for c, kind in view.columns.items()
    }
    tiles = build_tiles(view, Rows(empty, empty, empty, empty, columns), np.empty(0, object))
    values = tile_values(view, tiles, 0, n_entities=2)

    assert all(len(array) == 0 for array in tiles.values())
    expected = oracle.view_values(view, [], b"", 0, EVERYTHING)
    for name, value in expected.items():
        wanted = np.nan if value is None else float(value)
        assert np.array_equal(values[name], [wanted, wanted], equal_nan=True)


def test_an_instant_inside_an_interval_is_refused():
    view = view_of("sum", "int64")
    one = np.array([0])
    tiles = build_tiles(view, Rows(one, one, one, None, {"x": Column(np.array([5]))}))

    assert tile_values(view, tiles, 3_600_000)["x"].tolist() == [5.0]
    with pytest.raises(InvalidInputError, match="1 ms into an interval"):
        tile_values(view, tiles, 3_600_001)


@pytest.mark.parametrize("missing", ["ids", "ties"])
def test_a_last_value_without_its_ties_is_refused(missing: str):
    view = view_of("last", "int64")
    one, ids = np.array([0]), np.array([b"e"], object)
    rows = Rows(one, one, one, None if missing == "ties" else one, {"x": Column(np.array([5]))})
    given = None if missing == "ids" else ids

    with pytest.raises(InvalidInputError, match="order of ties"):
        build_tiles(view, rows, given)
    with pytest.raises(InvalidInputError, match="order of ties"):
        list(base_values(view, None, rows, [b"c"], epoch=1, head_ms=0, event_ids=given))


def test_every_function_is_built_and_merged():
    for function in NEEDS:
        view = view_of(function, "int64")
        one = np.array([0])
        rows = Rows(one, one, one, one, {"x": Column(np.array([5]))})
        tiles = build_tiles(view, rows, np.array([b"e"], object))
        expected = {"count": 1.0, "count_distinct": 1.0, "stddev": 0.0}.get(function, 5.0)

        assert tile_values(view, tiles, 3_600_000)["x"].tolist() == [expected]


def test_a_base_may_be_cut_at_any_head():
    """At a tile's start, inside it, on a row and beside it; the table's tiles hold later rows."""
    for world in window_worlds(25, examples(12)):
        row = world.rows[0]
        grid_ms = world.view.grids_ms[-1]
        start_ms = row.event_ms // grid_ms * grid_ms
        for head_ms in (start_ms, start_ms + 1, row.event_ms, row.event_ms + 1, start_ms - 1):
            base = bases(world.view, world.rows, epoch=2**31 - 1, head_ms=head_ms).get(row.entity)
            for at_ms in (head_ms, head_ms + 1, head_ms + grid_ms):
                expected = oracle.view_values(world.view, world.rows, row.entity, at_ms, EVERYTHING)
                found = read_view(world.view, base, None, at_ms, head_ms)
                assert list(found.values) == [
                    None if value is None else float(value) for value in expected.values()
                ]


def test_batch_needs_raw_rows_only_from_the_start_of_the_greatest_interval():
    view = view_of("sum", "int64", window_ms=2 * DAY_MS, grid_ms=DAY_MS)

    assert raw_from_ms(view, DAY_MS + 5) == DAY_MS
    assert raw_from_ms(view, DAY_MS) == DAY_MS
    assert oldest_start_ms(view, DAY_MS, 3 * DAY_MS + 5) == DAY_MS
