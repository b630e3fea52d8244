"""A slice of real card transactions goes the way of the benchmark, from a file to an answer.

The same code as ``make real-data``, but for two things: the commands run in this process, so
that Spark starts once, and the slice holds every 25th terminal, whole, so that what is known
of a terminal is what the whole file tells.
"""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shared_spark import session_or_skip

from assets.tables import read_columns
from benchmarks.real_data.commands import Platform, command_failed
from benchmarks.real_data.file import slice_of
from benchmarks.real_data.suite import DEFAULT_FILE, whole
from orchestration import cli
from stores.layout import Layout

pytestmark = [
    pytest.mark.data,
    pytest.mark.spark,
    pytest.mark.slow,
    pytest.mark.timeout(900),  # the whole pipeline is in the fixture
    pytest.mark.filterwarnings("ignore"),  # MLflow, Great Expectations and Dagster, all at once
]

EVERY = 25
SCORED_DAYS = 7
FAULTS: tuple[dict[str, Any], ...] = (
    {"TX_AMOUNT": -1.0},  # out_of_range
    {"TX_AMOUNT": 0.005},  # wrong_type: half a cent
    {"CUSTOMER_ID": None},  # null_field, in both sources
)
TIMES_THE_BASE_RATE = 20.0


class PlatformHere(Platform):
    """The platform whose commands run in this process, on its one Spark session."""

    def run(self, *words: str) -> str:
        """Last line that the command says, but for what to do next."""
        command = next(known for known in cli.COMMANDS if known.name == words[0])
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            code = cli.run(command, ("--home", str(self.home), *words[1:]))
        if code:
            raise command_failed(words, code)
        lines = [line.strip() for line in said.getvalue().splitlines() if line.strip()]
        return [line for line in lines if not line.startswith("next:")][-1]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The slice, with rows that no source may take."""
    if not DEFAULT_FILE.is_file():
        pytest.skip(f"the real transactions are not beside the project: no {DEFAULT_FILE}")
    path = slice_of(DEFAULT_FILE, EVERY, tmp_path_factory.mktemp("sample") / "slice.parquet")
    rows = pq.read_table(path)
    number = 10**9
    planted = [
        {**rows.slice(place, 1).to_pylist()[0], "TRANSACTION_ID": number + place, **fault}
        for place, fault in enumerate(FAULTS)
    ]
    pq.write_table(pa.concat_tables([rows, pa.Table.from_pylist(planted, rows.schema)]), path)
    return path


@pytest.fixture(scope="module")
def layout(file: Path) -> Layout:
    """Where everything is; Spark is there."""
    session_or_skip()
    return Layout(file.parent / "home")


@pytest.fixture(scope="module")
def report(file: Path, layout: Layout) -> dict[str, Any]:
    """All of it, done once: ingest, tiles, training, release, scores, service."""
    return whole(PlatformHere(layout.root), file, SCORED_DAYS, is_doubted=False)


def test_every_row_of_the_file_is_accepted_or_refused(file, layout, report):
    n_rows = pq.read_metadata(file).num_rows
    assert n_rows > 40_000
    wanted = {
        "transactions": {"out_of_range": 1, "wrong_type": 1, "null_field": 1},
        "fraud_labels": {"unknown_reference": 2, "null_field": 1},
    }
    for source, codes in wanted.items():
        ids = read_columns(layout.events(source), ["event_id"])["event_id"]
        refused = read_columns(layout.rejected(source), ["code"])["code"].to_pylist()
        assert Counter(refused) == codes
        assert len(ids) + len(refused) == n_rows
        assert len(ids.unique()) == len(ids)


def test_scores_of_the_last_days_find_frauds_and_not_too_many(report):
    batch = report["batch"]
    base_rate = batch["frauds"] / batch["rows"]
    found = batch["average_precision"]
    assert batch["rows"] > 2_000
    assert found["value"] > TIMES_THE_BASE_RATE * base_rate
    assert found["low"] < found["value"] < found["high"]
    assert batch["auc"]["value"] < 0.95  # above lies a leak


def test_the_service_answers_the_last_day_as_the_batch_scored_it_bit_by_bit(report):
    online = report["online"]
    n_rows = online["batched"]["values"]
    assert n_rows > 300
    for way in ("batched", "alone"):
        found = online[way]
        assert (found["values"], found["equal"], found["degraded"]) == (n_rows, n_rows, 0)
    vectors = online["vectors"]
    assert vectors["values"] > 10 * n_rows
    assert vectors["equal"] == vectors["values"]
    assert online["quality"]["average_precision"] == online["batch_quality"]["average_precision"]
