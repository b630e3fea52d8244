from __future__ import annotations

import math

import pytest

from core.contracts import FieldSpec, Source, check_declaration
from core.errors import ConfigurationError
from core.rows.row_parser import RowParser


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "position", "type": "int64"},
        {"name": "event_id", "type": "string"},
        {"name": "No Name", "type": "string"},
        {"name": "x", "type": "string", "pattern": "("},
        {"name": "x", "type": "string", "minimum": 1},
        {"name": "x", "type": "bool", "maximum": 1},
        {"name": "x", "type": "int64", "pattern": "a"},
        {"name": "x", "type": "int64", "allowed": ("1",)},
        {"name": "x", "type": "int64", "minimum": 2, "maximum": 1},
        {"name": "x", "type": "float64", "minimum": math.nan},
        {"name": "x", "type": "int64", "maximum": math.inf},
        {"name": "x", "type": "string", "max_length": 0},
    ],
)
def test_contract_that_contradicts_itself_is_refused(spec):
    source = Source(name="s", description="", owner="", fields=(FieldSpec(**spec),))
    with pytest.raises(ConfigurationError, match=r"source s declares field .* wrongly"):
        RowParser(source)


def test_field_declared_twice_is_refused():
    amount = FieldSpec(name="amount", type="int64")
    twice = Source(name="s", description="", owner="", fields=(amount, amount))
    with pytest.raises(ConfigurationError, match="twice"):
        check_declaration(twice)
