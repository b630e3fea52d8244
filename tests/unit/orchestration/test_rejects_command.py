"""``throughline rejects`` on a table of refused records; what it chooses, and what it refuses."""

from datetime import date
from functools import partial

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from orchestration.commands.rejects import COLUMNS, DATE
from stores.layout import Layout

ROWS = [
    (1, 0, "e1", "pattern", "card_id", "must match", None, date(2026, 3, 1)),
    (1, 9, "e2", "malformed", None, "is not JSON", None, date(2026, 3, 2)),
    (2, 0, "e3", "pattern", "card_id", "must match", 3, date(2026, 3, 2)),
]


@pytest.fixture
def rejects(throughline, tmp_path):
    table = pa.Table.from_pylist(
        [dict(zip((*COLUMNS, DATE), row, strict=True)) for row in ROWS],
        schema=pa.schema(
            [
                *(
                    (n, pa.int64() if n in ("epoch", "offset") else pa.string())
                    for n in COLUMNS[:-1]
                ),
                (COLUMNS[-1], pa.int64()),
                (DATE, pa.date32()),
            ]
        ),
    )
    write_deltalake(Layout(tmp_path).rejected("transactions"), table, partition_by=[DATE])
    # As its own child: what is refused must be refused before Spark is started.
    return partial(throughline, tmp_path, "--in-child", "rejects")


def test_they_are_listed_by_code_epoch_and_date(rejects):
    assert "the first 3 of 3" in rejects("list", "transactions")[1]
    assert "the first 2 of 2" in rejects("list", "transactions", "--code", "pattern")[1]
    of_a_date = rejects("list", "transactions", "--date", "2026-03-01")[1]
    assert "the first 1 of 1" in of_a_date
    assert "e1" in of_a_date
    assert (
        rejects("list", "transactions", "--epoch", "9")[1] == "no refused records of transactions\n"
    )


@pytest.mark.parametrize(
    "choice", [("--code", "patern"), ("--epoch", "2"), ("--date", "2026-99-99")]
)
def test_a_choice_of_nothing_is_said_before_anything_is_started(rejects, tmp_path, choice):
    code, said = rejects("replay", "transactions", *choice)
    assert code == 3
    assert "found 1 malformed, 1 pattern; throughline rejects list transactions" in said
    assert not (tmp_path / "dagster").exists()
