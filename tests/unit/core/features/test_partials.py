"""Partials: how a view is taken apart, and that every part is known wherever it is used."""

from __future__ import annotations

from typing import get_args

import pytest

from core.errors import ConfigurationError, InvalidInputError
from core.features import fold, hll, reducing, tile_building, tile_values
from core.features.partials import (
    NEEDS,
    Kind,
    Slot,
    cell_columns,
    cells_of,
    keeps_ties,
    register_and_rank,
    slots,
)
from core.features.plan import AttributeFeature, ViewPlan, WindowFeature, WindowFunction
from core.features.tiles import tile_columns
from core.features.values import RawValue

COLUMNS = {"n": "int64", "x": "float64", "who": "string", "flag": "bool", "since": "timestamp"}


def view(*wanted: tuple[WindowFunction, str, int, float]) -> ViewPlan:
    return ViewPlan(
        name="v1",
        entity="card",
        join_keys=("card",),
        source="s",
        columns={column: COLUMNS[column] for _, column, _, _ in wanted},
        windows=tuple(
            WindowFeature(
                name=f"{c}_{f}_{g}_{k}", function=f, column=c, window_ms=60 * g, grid_ms=g, centre=z
            )
            for k, (f, c, g, z) in enumerate(wanted)
        ),
    )


def limits() -> ViewPlan:
    categories = {"who": ("a", "b")}
    return ViewPlan(
        name="limits_v1",
        entity="card",
        join_keys=("card",),
        source="s",
        columns=COLUMNS,
        attributes=tuple(
            AttributeFeature(name=c, column=c, categories=categories.get(c, ())) for c in COLUMNS
        ),
    )


def test_every_function_needs_slots_and_every_kind_is_known_everywhere():
    kinds = set(get_args(Kind))

    assert set(NEEDS) == set(get_args(WindowFunction))
    assert {kind for needed in NEEDS.values() for kind in needed} == kinds
    assert set(fold.ADDERS) == set(reducing.REDUCERS) == kinds
    assert set(tile_building.BUILDERS) == set(tile_values.MERGERS) == kinds
    assert set(reducing.FINISHERS) == set(tile_values.FINISHERS) == set(NEEDS)


def test_features_of_one_column_and_grid_share_slots():
    shared = view(("mean", "n", 1_000, 0.0), ("sum", "n", 1_000, 0.0), ("count", "n", 1_000, 0.0))

    assert [slot.kind for slot in slots(shared)] == ["count", "sum"]


def test_a_grid_keeps_only_what_its_windows_read():
    two = view(("sum", "n", 1_000, 0.0), ("max", "n", 60_000, 0.0))

    assert [slot.kind for slot in slots(two, 1_000)] == ["sum"]
    assert [slot.kind for slot in slots(two, 60_000)] == ["count", "max"]
    assert [slot.kind for slot in slots(two)] == ["sum", "count", "max"]


def test_moments_about_two_centres_do_not_share_columns():
    two = view(("stddev", "x", 1_000, 0.0), ("stddev", "x", 1_000, 5.0))
    names = [name for name, _ in tile_columns(two)]

    assert len(names) == len(set(names)) == 1 + 1 + 8
    assert "x__moments_1_second_lo" in names


def test_columns_of_a_tiles_table_have_plain_types():
    every = view(*((f, "x", 1_000, 0.0) for f in get_args(WindowFunction)))

    assert dict(tile_columns(every)) == {
        "newest_ms": "int64",
        "x__count": "int64",
        "x__sum_hi": "float64",
        "x__sum_lo": "float64",
        "x__min": "float64",
        "x__max": "float64",
        "x__last_event_ms": "int64",
        "x__last_available_ms": "int64",
        "x__last": "float64",
        "x__last_event_id": "binary",
        "x__registers": "binary",
        "x__moments_0_first_hi": "float64",
        "x__moments_0_first_lo": "float64",
        "x__moments_0_second_hi": "float64",
        "x__moments_0_second_lo": "float64",
    }


@pytest.mark.parametrize("function", ["sum", "mean", "min", "max", "last", "stddev"])
def test_a_number_of_a_text_column_is_refused(function: WindowFunction):
    with pytest.raises(ConfigurationError, match=f"{function} of 'who'"):
        slots(view((function, "who", 1_000, 0.0)))


def test_ties_are_kept_only_where_a_feature_reads_them():
    assert not keeps_ties(view(("max", "n", 1_000, 0.0)))
    assert keeps_ties(view(("last", "n", 1_000, 0.0)))
    assert keeps_ties(limits())


def test_cells_stand_in_the_order_of_names_whatever_the_order_of_the_plan():
    turned = limits().model_copy(update={"columns": dict(reversed(COLUMNS.items()))})

    assert cell_columns(turned) == cell_columns(limits()) == ("flag", "n", "since", "who", "x")


def test_cells_of_attributes_are_numbers_and_indices_of_categories():
    values: dict[str, RawValue] = {"n": 3, "x": float("inf"), "who": "b", "flag": True, "since": -5}

    assert cells_of(limits(), values) == (1, 3, -5, 1, None)
    assert cells_of(limits(), {"who": "c", "x": -0.0}) == (None, None, None, None, 0.0)


def test_a_text_and_its_hash_fall_in_the_same_register():
    counted = view(("count_distinct", "who", 1_000, 0.0))
    (slot,) = slots(counted)

    for text in ("", "a", "é", "🐘", "t1", "t2"):
        (cell,) = cells_of(counted, {"who": text})
        assert cell is not None
        assert -(2**63) <= cell < 2**63
        expected = hll.register_and_rank(hll.hash_value(text))
        assert register_and_rank(slot, cell) == expected


@pytest.mark.parametrize(("value", "kind"), [(2**63, "int64"), (-(2**63) - 1, "int64")])
def test_an_integer_beyond_64_bits_is_refused_without_being_repeated(value: int, kind: str):
    with pytest.raises(InvalidInputError, match="64 bits in column 'n'") as caught:
        cells_of(limits(), {"n": value})
    assert str(value) not in str(caught.value)


def test_slots_of_integers_start_at_the_ends_of_their_type():
    assert Slot("min", "n").fields[0].empty == 2**63 - 1
    assert Slot("max", "n", is_float=True).fields[0].empty == float("-inf")
