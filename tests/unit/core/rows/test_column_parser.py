"""Columns at once against row by row: the same rows, the same digests, the same refusals."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts import FieldSpec, Source
from core.mapping import RowMapper, read_mapping
from core.rows.column_parser import ColumnParser
from core.rows.row_parser import ParsedRow, RowParser, Violation

NOW_MS = 1_767_225_600_000
SOURCE = Source(
    name="payments",
    description="",
    owner="",
    fields=(
        FieldSpec(name="terminal_id", type="string", pattern="[a-z0-9-]+", max_length=12),
        FieldSpec(name="amount_minor", type="int64", minimum=0, maximum=10**6),
        FieldSpec(name="share", type="float64", is_nullable=True),
        FieldSpec(name="is_online", type="bool", is_nullable=True),
        FieldSpec(name="seen", type="timestamp", is_nullable=True),
    ),
)
MAPPING = {
    "source": "payments",
    "fields": {
        "event_id": {"from": "ID", "convert": [{"prefix": "tx-"}]},
        "event_timestamp": {"from": "AT", "convert": ["parse_time", {"plus_delay": "7d"}]},
        "terminal_id": {"from": "TERMINAL", "convert": [{"prefix": "t-"}]},
        "amount_minor": {"from": "AMOUNT", "convert": ["to_minor_units"]},
        "share": {"from": "AMOUNT"},
        "is_online": {"constant": True},
    },
}
instants = st.integers(NOW_MS - 10**9, NOW_MS + 10**9) | st.integers(-(10**15), 10**15)
texts = st.sampled_from(["a", "b-1", "", "A", "\ud800", "nul\0", "x" * 13, "é"])
floats = st.sampled_from([0.0, -0.0, 0.29, 12.345, -1.0, 1e300]) | st.floats()
COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "event_id": st.one_of(st.none(), texts),
    "event_timestamp": st.one_of(st.none(), instants),
    "terminal_id": st.one_of(st.none(), texts),
    "amount_minor": st.one_of(st.none(), st.integers(-2, 10**6 + 2), st.just(2**70)),
    "share": st.one_of(st.none(), floats),
    "is_online": st.one_of(st.none(), st.booleans()),
    "seen": st.one_of(st.none(), instants),
}
FOREIGN: dict[str, st.SearchStrategy[Any]] = {
    "ID": st.one_of(st.none(), st.integers(0, 5)),
    "AT": st.one_of(st.none(), instants),
    "TERMINAL": st.one_of(st.none(), st.integers(0, 3)),
    "AMOUNT": st.one_of(st.none(), floats),
    "MORE": st.integers(0, 1),
}


def rows_of(columns: dict[str, Any], n_rows: int, parser: ColumnParser) -> list[Any]:
    """What the columns say of each row, in the words of the row parser."""
    found = parser.parse(columns, n_rows, now_ms=NOW_MS)
    kept = zip(found.event_ids, found.event_ms, found.payload_digests, strict=True)
    values = zip(*found.values, strict=True)
    rows = [ParsedRow(*row, tuple(more)) for row, more in zip(kept, values, strict=True)]
    nothing = ParsedRow(None, None, None, (None,) * len(SOURCE.fields))  # type: ignore[arg-type]
    assert all(rows[place] == nothing for place in found.refused)
    return [found.refused.get(place, row) for place, row in enumerate(rows)]


def row_by_row(columns: dict[str, Any], n_rows: int, mapper: RowMapper | None) -> list[Any]:
    found: list[Any] = []
    for place in range(n_rows):
        raw = {name: column[place] for name, column in columns.items()}
        row = raw if mapper is None else mapper.apply(raw)
        is_refused = isinstance(row, Violation)
        found.append(row if is_refused else RowParser(SOURCE).parse(row, now_ms=NOW_MS))
    return found


def spelled(rows: list[Any]) -> list[str]:
    """Rows that can be compared: 0.0 differs from -0.0, and 1 from True."""
    return [repr(row) for row in rows]


@given(st.data(), st.integers(0, 12))
def test_columns_that_are_the_fields_give_what_rows_give(data: st.DataObject, n_rows: int) -> None:
    names = data.draw(st.sets(st.sampled_from(sorted(COLUMNS)), min_size=5)) | {"event_id"}
    columns = {
        name: data.draw(st.lists(COLUMNS[name], min_size=n_rows, max_size=n_rows))
        for name in sorted(names)
    }
    wanted = row_by_row(columns, n_rows, None)
    assert spelled(rows_of(columns, n_rows, ColumnParser(RowParser(SOURCE)))) == spelled(wanted)


@given(st.data(), st.integers(0, 12))
def test_mapped_columns_give_what_mapped_rows_give(data: st.DataObject, n_rows: int) -> None:
    mapper = RowMapper(read_mapping(MAPPING))
    parser = ColumnParser(RowParser(SOURCE), mapper)
    for _ in range(2):  # the second block meets what is remembered of the first
        columns = {
            name: data.draw(st.lists(kind, min_size=n_rows, max_size=n_rows))
            for name, kind in FOREIGN.items()
        }
        wanted = row_by_row(columns, n_rows, mapper)
        assert spelled(rows_of(columns, n_rows, parser)) == spelled(wanted)


def test_good_columns_are_accepted_without_a_look_at_the_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("a good row went the slow way")

    parser = ColumnParser(RowParser(SOURCE), RowMapper(read_mapping(MAPPING)))
    columns: dict[str, list[Any]] = {
        "ID": [1, 2],
        "AT": [0, 1],
        "TERMINAL": [3, 3],
        "AMOUNT": [1.25, 2.0],
    }
    monkeypatch.setattr(parser, "parse_record", never)
    found = parser.parse(columns, 2, now_ms=NOW_MS)
    assert found.event_ids == ["tx-1", "tx-2"]
    assert found.values == (["t-3"] * 2, [125, 200], [1.25, 2.0], [True] * 2, [None] * 2)
    assert found.refused == {}


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"event_id": ["a"], "event_timestamp": [0], "more": [1]}, "unknown_field"),
        ({"event_id": ["a"], "event_timestamp": [0], "terminal_id": ["a"]}, "missing_field"),
        ({"event_id": ["a"], "event_timestamp": [NOW_MS + 10**6]}, "missing_field"),
    ],
)
def test_what_is_wrong_with_all_rows_is_said_of_each(
    columns: dict[str, list[Any]], code: str
) -> None:
    found = ColumnParser(RowParser(SOURCE)).parse(columns, 1, now_ms=NOW_MS)
    assert found.refused[0].code == code
    assert found.event_ids == [None]


def test_decimals_that_are_equal_are_one_value() -> None:
    columns: dict[str, list[Any]] = {
        "event_id": ["a", "b"],
        "event_timestamp": [0, 0],
        "terminal_id": ["t", "t"],
        "amount_minor": [Decimal("1.00"), Decimal("1")],
    }
    found = ColumnParser(RowParser(SOURCE)).parse(columns, 2)
    assert found.values[1] == [1, 1]
    assert found.payload_digests[0] == found.payload_digests[1]
