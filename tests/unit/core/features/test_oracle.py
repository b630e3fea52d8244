"""The oracle against answers worked out by hand."""

import math

import pytest

from core.features.oracle import KnownAt, Row, SeenUpTo, view_values
from core.features.plan import AttributeFeature, ViewPlan, WindowFeature, WindowFunction

CARD, OTHER = b"\x00\x02c1", b"\x00\x02c2"
FUNCTIONS: tuple[WindowFunction, ...] = (
    "count", "sum", "mean", "min", "max", "last", "count_distinct", "stddev",
)  # fmt: skip


def windows(column: str = "x") -> ViewPlan:
    """One minute on a grid of ten seconds, every function."""
    features = tuple(
        WindowFeature(name=f, function=f, column=column, window_ms=60_000, grid_ms=10_000)
        for f in FUNCTIONS
    )
    return ViewPlan(
        name="v", entity="card", join_keys=("card",), source="s",
        columns={"x": "int64", "y": "float64"}, windows=features,
    )  # fmt: skip


def attributes(ttl_ms: int | None) -> ViewPlan:
    return ViewPlan(
        name="a", entity="card", join_keys=("card",), source="s",
        columns={"x": "int64", "country": "string"}, ttl_ms=ttl_ms,
        attributes=(
            AttributeFeature(name="x", column="x"),
            AttributeFeature(name="country", column="country", categories=("PT", "ES")),
        ),
    )  # fmt: skip


def row(event_ms: int, x: int | None, *, id_: str = "e", late_ms: int = 0, **more: object) -> Row:
    values = {"x": x, "y": None if x is None else x / 10, "country": None, **more}
    return Row(id_, CARD, event_ms, event_ms + late_ms, event_ms, values)  # type: ignore[arg-type]


def at(view: ViewPlan, rows: list[Row], at_ms: int, known: object = None) -> dict[str, object]:
    knows = known or KnownAt(at_ms)
    return dict(view_values(view, rows, CARD, at_ms, knows))  # type: ignore[arg-type]


def test_every_function_of_three_rows() -> None:
    rows = [row(10, 4), row(20, 2), row(30, 2)]
    assert at(windows(), rows, 31) == {
        "count": 3, "sum": 8, "mean": 8 / 3, "min": 2, "max": 4, "last": 2, "count_distinct": 2.0,
        "stddev": pytest.approx(math.sqrt(8 / 9)),
    }  # fmt: skip


def test_no_rows_is_zero_or_null() -> None:
    zeros = {"count": 0, "sum": 0, "count_distinct": 0.0}
    assert at(windows(), [], 31) == {name: zeros.get(name) for name in FUNCTIONS}


def test_rows_of_nulls_are_no_rows() -> None:
    assert at(windows(), [row(10, None)], 31) == at(windows(), [], 31)


def test_start_is_inclusive_on_the_grid_and_the_end_is_exclusive() -> None:
    rows = [row(event_ms, 1) for event_ms in (9_999, 10_000, 79_998, 79_999)]
    assert at(windows(), rows, 79_999)["count"] == 2


def test_start_of_a_window_before_1970_is_rounded_down() -> None:
    rows = [row(-70_000, 1), row(-70_001, 1)]
    assert at(windows(), rows, -1)["count"] == 1


def test_last_breaks_ties_by_availability_then_by_bytes_of_the_id() -> None:
    rows = [row(10, 1, late_ms=5), row(10, 2, id_="z"), row(10, 3, late_ms=5, id_="é")]
    assert at(windows(), rows, 20)["last"] == 3
    assert at(windows(), rows[:2], 20)["last"] == 1
    assert at(windows(), [row(10, 1, id_="z"), row(10, 2, id_="é")], 20)["last"] == 2


def test_a_row_counts_from_the_instant_it_was_available() -> None:
    late = [row(10, 1, late_ms=100)]
    assert at(windows(), late, 20, KnownAt(109))["count"] == 0
    assert at(windows(), late, 20, KnownAt(110))["count"] == 1


def test_a_read_sees_positions_up_to_its_own() -> None:
    rows = [row(10, 1, late_ms=10_000), row(11, 1, late_ms=10_000)]
    assert at(windows(), rows, 20, SeenUpTo(10))["count"] == 1
    assert at(windows(), rows, 20, SeenUpTo(9))["count"] == 0


def test_another_entity_has_its_own_rows() -> None:
    assert view_values(windows(), [row(10, 1)], OTHER, 20, KnownAt(20))["count"] == 0


def test_integers_are_added_exactly_and_floats_correctly_rounded() -> None:
    big = 2**60 + 1
    assert at(windows(), [row(10, big), row(11, big)], 20)["sum"] == 2 * big
    tenths = [row(n, 0, y=0.1) for n in range(10)]
    assert at(windows("y"), tenths, 20)["sum"] == 1.0


def test_attribute_is_the_row_in_force_t_itself_included() -> None:
    rows = [row(10, 1, country="ES"), row(20, 2, country="PT"), row(31, 3)]
    assert at(attributes(None), rows, 30) == {"x": 2, "country": 0}
    assert at(attributes(None), rows, 31) == {"x": 3, "country": None}
    assert at(attributes(None), rows, 9) == {"x": None, "country": None}


def test_attribute_of_a_value_not_declared_is_null() -> None:
    assert at(attributes(None), [row(10, 1, country="XX")], 30)["country"] is None


def test_attribute_lives_as_long_as_its_ttl() -> None:
    assert at(attributes(20), [row(10, 1)], 30)["x"] == 1
    assert at(attributes(20), [row(10, 1)], 31)["x"] is None


def test_attribute_falls_back_to_the_row_known_then() -> None:
    rows = [row(10, 1), row(20, 2, late_ms=100)]
    assert at(attributes(None), rows, 30)["x"] == 1
