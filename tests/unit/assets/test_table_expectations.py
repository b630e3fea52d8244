"""Expectations on tiles and scores: what the builder makes passes, and each rule can fail."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from world_arrays import to_arrays
from worlds import worlds

from assets.checks.expectations import score_expectations, tile_columns_read, tile_expectations
from core.clock import DAY_MS
from core.features.partials import keeps_ties, slots
from core.features.tile_building import build_tiles


def tiles_of(view, rows):
    """Tiles as the table has them, entities by number."""
    made = build_tiles(view, rows)
    start_ms = made["tile_start_ms"]
    columns = {name: made[name] for name in tile_columns_read(view) if name in made}
    return pa.table(
        {
            **columns,
            **{key: made["entity"].astype(str) for key in view.join_keys},
            "event_date": pa.array((start_ms // DAY_MS).astype(np.int32)).cast(pa.date32()),
        }
    )


@pytest.fixture(scope="module")
def drawn():
    """A view with a count and both extremes on one grid, and tiles of it."""
    for world in worlds(3, 400):
        view, wanted = world.view, {"count", "min", "max"}
        is_whole = any(
            wanted <= {slot.kind for slot in slots(view, grid) if slot.column == column}
            for grid in view.grids_ms
            for column in view.columns
        )
        if is_whole and not keeps_ties(view) and len(world.rows) > 20:
            return view, tiles_of(view, to_arrays(world)[0])
    raise AssertionError("no such view was drawn")


def failed(result):
    assert not result.passed
    return result.description


def changed(table, name, change):
    values = table[name].to_numpy().copy()
    change(values)
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def test_tiles_as_they_are_built_pass_and_so_does_a_date_without_any(drawn):
    view, tiles = drawn
    result = tile_expectations(view, tiles)
    assert (result.passed, result.description) == (True, None)
    assert result.metadata["rows"].value == tiles.num_rows > 10
    assert tile_expectations(view, tiles.slice(0, 0)).passed


@pytest.mark.parametrize(
    ("column", "change", "said"),
    [
        ("__count", lambda values: values.__setitem__(0, -1), "be_between"),
        ("tile_start_ms", lambda values: values.__setitem__(0, values[0] + 1), "starts_on_its"),
        ("newest_ms", lambda values: values.__setitem__(0, values[0] - DAY_MS), "newest_is_inside"),
        ("grid_ms", lambda values: values.__setitem__(0, 7), "in_set grid_ms"),
        ("__min", lambda values: values.fill(2**62), "extremes_are_ordered"),
    ],
)
def test_a_tile_that_cannot_be_fails_by_its_rule(drawn, column, change, said):
    view, tiles = drawn
    name = next(each for each in tiles.column_names if each.endswith(column))
    assert said in failed(tile_expectations(view, changed(tiles, name, change)))


def test_a_tile_that_is_there_twice_or_of_nobody_or_on_another_date_fails(drawn):
    view, tiles = drawn
    twice = pa.concat_tables([tiles, tiles.slice(0, 1)])
    assert "compound_columns_to_be_unique" in failed(tile_expectations(view, twice))
    place, key = tiles.column_names.index(view.join_keys[0]), view.join_keys[0]
    nobody = pa.array([None, *tiles[key].to_pylist()[1:]], pa.string())
    assert "not_be_null" in failed(tile_expectations(view, tiles.set_column(place, key, nobody)))
    days = pa.array(tiles["event_date"].cast(pa.int32()).to_numpy() + 1).cast(pa.date32())
    place = tiles.column_names.index("event_date")
    moved = tiles.set_column(place, "event_date", days)
    assert "date_is_its_own" in failed(tile_expectations(view, moved))


SCORES = {
    "as_of": ["2026-01-01"] * 3,
    "card_id": ["a", "b", "c"],
    "score": [0.0, 0.5, 1.0],
    "decision": ["APPROVE", "REVIEW", "BLOCK"],
    "release": [4] * 3,
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"card_id": ["a", "a", "c"]}, "compound_columns_to_be_unique"),
        ({"card_id": ["a", None, "c"]}, "not_be_null card_id"),
        ({"score": [0.0, 0.5, 1.01]}, "be_between score"),
        ({"score": [0.0, 0.5, None]}, "not_be_null score"),
        ({"decision": ["APPROVE", "REVIEW", "GUESS"]}, "in_set decision"),
        ({"release": [4, 4, 0]}, "be_between release"),
    ],
)
def test_scores_are_held_to_what_holds_of_all(change, said):
    made = ("APPROVE", "REVIEW", "BLOCK")
    result = score_expectations(["card_id"], made, pa.table({**SCORES, **change}))
    assert result.passed is (not said)
    assert said in (result.description or "")
