"""A table of events with rows from before a major is held to what was taken then."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from grown_payments import GROWN

from assets.checks.expectations import source_expectations


@pytest.mark.parametrize(
    ("former", "is_fine", "why"),
    [(GROWN.former, True, ""), ((), False, "expect_column_values_to_not_be_null way 1 rows")],
)
def test_rows_from_before_a_major_are_held_to_what_was_taken_then(former, is_fine, why):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        {"event_id": "p1", "amount_minor": 5_001, "way": None},
        {"event_id": "p2", "amount_minor": 1, "way": "web"},
    ]
    always: dict[str, object] = {
        "event_timestamp": at,
        "available_at": at,
        "event_date": date(2026, 1, 1),
    }
    always |= {"terminal_id": "t1", "card_id": "c1"}
    table = pa.Table.from_pylist([{**row, **always} for row in rows])
    found = source_expectations(GROWN.model_copy(update={"former": former}), table)
    assert found.passed is is_fine
    assert why in str(found.description)
