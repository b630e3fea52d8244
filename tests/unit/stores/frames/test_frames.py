"""Arrow tables through the kernel: the proof again, and what only tables can get wrong."""

import importlib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import worlds
from example_counts import examples
from numpy.typing import NDArray
from worlds import World

from core.errors import ConfigurationError, InvalidInputError
from core.features.plan import (
    AttributeFeature,
    Plan,
    RequestField,
    TransformPlan,
    ViewPlan,
    WindowFeature,
    feature_column,
)
from core.features.purity import function_digest
from stores.frames.frames import entity_rows, plan_table, view_table

TIMESTAMP = pa.timestamp("us", tz="UTC")


@cache
def small_worlds() -> tuple[World, ...]:
    return tuple(worlds.worlds(20_260_103, examples(90)))


def answers(world: World, table: pa.Table) -> dict[str, NDArray[np.float64]]:
    name = world.view.name
    return {f: table.column(f"{name}__{f}").to_numpy() for f in world.view.feature_names}


def test_no_mismatch_over_generated_points_and_plans() -> None:
    n_points = 0
    for world in small_worlds():
        found = worlds.compare(
            world.expected(), answers(world, view_table(world.view, *worlds.to_arrow(world)))
        )
        assert found.mismatches == ()
        n_points += found.n_points
    assert n_points >= examples(2_000)


def test_plan_table_is_the_vector_of_every_view() -> None:
    for world in small_worlds()[:9]:
        rows, points = worlds.to_arrow(world)
        table = plan_table(world.plan, {world.view.source: rows}, points)
        assert table.column_names == [feature_column(name) for name in world.plan.vector]
        assert worlds.compare(world.expected(), answers(world, table)).mismatches == ()


def test_no_mismatch_as_seen_up_to_any_position() -> None:
    rng = np.random.default_rng(5)
    for world in small_worlds()[:20]:
        seen = [int(p) for p in rng.choice([r.position for r in world.rows], len(world.points))]
        rows, points = worlds.to_arrow(world)
        points = points.drop_columns(["known_at"])
        by_view = points.append_column(f"seen_position__{world.view.name}", pa.array(seen))
        expected = world.expected_as_seen(seen)
        one = view_table(world.view, rows, points.append_column("seen_position", pa.array(seen)))
        other = plan_table(world.plan, {world.view.source: rows}, by_view)
        assert worlds.compare(expected, answers(world, one)).mismatches == ()
        assert worlds.compare(expected, answers(world, other)).mismatches == ()


def test_chunks_dictionaries_views_and_large_text_change_nothing() -> None:
    world = small_worlds()[1]
    rows, points = worlds.to_arrow(world)
    expected = view_table(world.view, rows, points)
    chunked = pa.concat_tables([rows.slice(n, 7) for n in range(0, len(rows), 7)])
    assert view_table(world.view, chunked, points).equals(expected)
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        schema = pa.schema(
            [f.with_type(kind) if pa.types.is_string(f.type) else f for f in rows.schema]
        )
        assert view_table(world.view, rows.cast(schema), points).equals(expected)


def instant(ms: float) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)


def view_of(function: str = "sum", column_type: Any = "int64", **more: Any) -> ViewPlan:
    feature = WindowFeature.model_validate(
        {"name": "x", "function": function, "column": "x", "window_ms": 60_000, "grid_ms": 10_000}
    )
    shape = {"join_keys": ("card_id",), "windows": (feature,), **more}
    return ViewPlan(name="v", entity="card", source="s", columns={"x": column_type}, **shape)


def attribute_view(categories: tuple[str, ...] = ("PT", "ES")) -> ViewPlan:
    attribute = AttributeFeature(name="x", column="x", categories=categories)
    return view_of(column_type="string", windows=(), attributes=(attribute,))


def rows_of(events: list[tuple[str, float, Any]], kind: Any = None) -> pa.Table:
    times = pa.array([instant(ms) for _, ms, _ in events], TIMESTAMP)
    return pa.table(
        {
            "event_id": [f"e{n}" for n in range(len(events))],
            "event_timestamp": times,
            "available_at": times,
            "position": pa.array(range(len(events)), pa.int64()),
            "card_id": pa.array([card for card, _, _ in events], pa.string()),
            "x": pa.array([x for _, _, x in events], kind),
        }
    )


def points_of(*points: tuple[Any, float], **columns: Any) -> pa.Table:
    return pa.table(
        {
            "card_id": [card for card, _ in points],
            "event_timestamp": pa.array([instant(ms) for _, ms in points], TIMESTAMP),
            **columns,
        }
    )


def x_of(view: ViewPlan, rows: pa.Table, points: pa.Table) -> list[float | None]:
    values: list[float | None] = view_table(view, rows, points).column("v__x").to_pylist()
    return values


def test_order_number_and_duplicates_of_points_are_kept() -> None:
    rows = rows_of([("a", 10, 1), ("b", 20, 2), ("a", 30, 4)])
    points = points_of(("b", 50), ("a", 50), ("nobody", 50), ("a", 20), ("a", 50), ("b", 50))
    assert x_of(view_of(), rows, points) == [2.0, 5.0, 0.0, 1.0, 5.0, 2.0]


def test_null_features_are_null_and_not_nan() -> None:
    column = view_table(view_of("mean"), rows_of([]), points_of(("a", 50))).column("v__x")
    assert column.type == pa.float64()
    assert column.null_count == 1


def test_instants_are_rounded_down_before_1970_too() -> None:
    """-0.5 ms is the instant -1, so it lies before 0 and after -2."""
    rows = rows_of([("a", -0.5, 1), ("a", -1.5, 2)])
    assert x_of(view_of(), rows, points_of(("a", 0), ("a", -0.5), ("a", -1.2))) == [3.0, 2.0, 0.0]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_any_unit_of_time_is_understood(unit: str) -> None:
    rows = rows_of([("a", -2_000, 1), ("a", 3_000, 2)])
    kind = pa.timestamp(unit, tz="UTC")
    at = rows.schema.get_field_index("event_timestamp")
    rows = rows.set_column(at, "event_timestamp", rows.column(at).cast(kind))
    assert x_of(view_of(), rows, points_of(("a", -1_000), ("a", 4_000))) == [1.0, 3.0]


def test_known_at_defaults_to_the_point_and_null_means_the_default() -> None:
    rows = rows_of([("a", 10, 1)])
    late = rows.set_column(2, "available_at", pa.array([instant(100)], TIMESTAMP))
    points = points_of(("a", 50), ("a", 50), ("a", 100))
    known = pa.array([None, instant(100), None], TIMESTAMP)
    assert x_of(view_of(), late, points) == [0.0, 0.0, 1.0]
    assert x_of(view_of(), late, points.append_column("known_at", known)) == [0.0, 1.0, 1.0]


def test_integer_keys_match_their_decimal_text() -> None:
    rows = rows_of([("1", 10, 1), ("01", 10, 2)])
    assert x_of(view_of(), rows, points_of((1, 50))) == [1.0]


def test_a_null_key_is_no_entity_on_either_side() -> None:
    rows = rows_of([("a", 10, 1), (None, 10, 2)])  # type: ignore[list-item]
    assert x_of(view_of(), rows, points_of(("a", 50), (None, 50))) == [1.0, 0.0]


def test_nan_and_infinity_are_missing() -> None:
    rows = rows_of([("a", n, x) for n, x in enumerate([1.0, np.nan, np.inf, -np.inf, None, 2.0])])
    assert x_of(view_of("count", "float64"), rows, points_of(("a", 50))) == [2.0]
    assert x_of(view_of("mean", "float64"), rows, points_of(("a", 50))) == [1.5]


def test_categories_are_indices_and_others_null() -> None:
    rows = rows_of([("a", 10, "ES"), ("b", 10, "XX"), ("c", 10, None)], pa.string())
    points = points_of(("a", 50), ("b", 50), ("c", 50))
    assert x_of(attribute_view(), rows, points) == [1.0, None, None]


def test_entity_rows_code_every_entity_and_tell_its_keys() -> None:
    rows = rows_of([("b", 10, 1), ("a", 20, 2), (None, 30, 3), ("b", 40, 4)])  # type: ignore[list-item]
    found = entity_rows(view_of(), rows)
    names = [found.keys.column("card_id")[int(code)].as_py() for code in found.rows.entity]
    assert names == ["b", "a", "b"]
    assert len(found.keys) == 2
    assert found.rows.event_ms.tolist() == [10, 20, 40]


def test_no_rows_and_no_points() -> None:
    assert x_of(view_of(), rows_of([], pa.int64()), points_of(("a", 50))) == [0.0]
    nobody = points_of(("a", 50)).slice(0, 0)
    assert x_of(view_of(), rows_of([("a", 10, 1)]), nobody) == []


TRANSFORM = """
def doubled(inputs):
    return {"twice": inputs["x"] * 2.0 + inputs["amount"], "at": inputs["at_ms"]}
"""


def test_plan_table_applies_transforms_in_vector_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "frame_transforms.py").write_text(TRANSFORM)
    monkeypatch.syspath_prepend(str(tmp_path))
    function = importlib.import_module("frame_transforms").doubled
    transform = TransformPlan(
        name="t",
        reference="frame_transforms:doubled",
        source_digest=function_digest(function),
        inputs=("v:x", "request:amount", "at_ms"),
        outputs=("twice", "at"),
    )
    plan = Plan(
        service="s",
        views=(view_of(),),
        transforms=(transform,),
        request_fields=(RequestField(name="amount", type="int64"),),
        vector=("t:twice", "v:x", "t:at"),
    )
    points = points_of(("a", 50), ("b", 60.7), amount=[100, None])
    table = plan_table(plan, {"s": rows_of([("a", 10, 7)])}, points)
    assert table.column_names == ["t__twice", "v__x", "t__at"]
    assert table.to_pydict() == {
        "t__twice": [114.0, None],
        "v__x": [7.0, 0.0],
        "t__at": [50.0, 60.0],
    }


@pytest.mark.parametrize("lacking", ["event_timestamp", "available_at", "card_id", "x"])
def test_a_missing_column_of_rows_is_named(lacking: str) -> None:
    rows = rows_of([("a", 10, 1)]).drop_columns([lacking])
    with pytest.raises(InvalidInputError, match=lacking):
        view_table(view_of(), rows, points_of(("a", 50)))


def test_wrong_types_are_refused_by_name() -> None:
    points = points_of(("a", 50))
    with pytest.raises(InvalidInputError, match="does not hold int64"):
        view_table(view_of(), rows_of([("a", 10, "text")]), points)
    with pytest.raises(InvalidInputError, match="neither text nor integers"):
        view_table(view_of(), rows_of([("a", 10, 1)]), points_of((1.5, 50)))
    with pytest.raises(InvalidInputError, match="does not hold instants"):
        view_table(
            view_of(), rows_of([("a", 10, 1)]), points.set_column(1, "event_timestamp", [[5]])
        )


def test_null_instants_and_positions_are_refused() -> None:
    rows, points = rows_of([("a", 10, 1)]), points_of(("a", 50))
    nulls = points.set_column(1, "event_timestamp", pa.array([None], TIMESTAMP))
    with pytest.raises(InvalidInputError, match="nulls"):
        view_table(view_of(), rows, nulls)
    unseen = points.append_column("seen_position", pa.array([None], pa.int64()))
    with pytest.raises(InvalidInputError, match="nulls"):
        view_table(view_of(), rows, unseen)


def test_known_and_seen_together_are_refused() -> None:
    both = points_of(("a", 50), seen_position=[1], known_at=pa.array([instant(1)], TIMESTAMP))
    with pytest.raises(InvalidInputError, match="what was known and what was seen"):
        view_table(view_of(), rows_of([("a", 10, 1)]), both)


def test_text_attributes_without_categories_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="one list of categories"):
        view_table(attribute_view(()), rows_of([("a", 10, "PT")]), points_of(("a", 50)))


def test_a_missing_source_is_named() -> None:
    world = small_worlds()[0]
    with pytest.raises(InvalidInputError, match=world.view.source):
        plan_table(world.plan, {}, worlds.points_table(world))
