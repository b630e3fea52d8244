import math

import pytest

from core.features.values import cast_value


@pytest.mark.parametrize(
    ("raw", "kind", "expected"),
    [
        (None, "int64", None),
        (True, "bool", 1),
        (7, "float64", 7.0),
        (math.inf, "float64", None),
        (math.nan, "float64", None),
        ("", "string", ""),
        (-1, "timestamp", -1),
    ],
)
def test_cast_value(raw: object, kind: str, expected: object) -> None:
    value = cast_value(raw, kind)  # type: ignore[arg-type]
    assert value == expected
    assert type(value) is type(expected)


def test_minus_zero_becomes_zero() -> None:
    value = cast_value(-0.0, "float64")
    assert isinstance(value, float)
    assert math.copysign(1.0, value) == 1.0
