"""The arithmetic of the run on real data: what counts as equal, and what stops it at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.real_data import suite as real_data
from benchmarks.real_data.commands import Platform
from benchmarks.real_data.doubt import File
from benchmarks.real_data.file import slice_of
from benchmarks.real_data.online import agreement
from benchmarks.real_data.scores import judged
from benchmarks.real_data.suite import STATE, Run, main
from core.errors import InvalidInputError

ROW = {
    "TRANSACTION_ID": [7],
    "TX_DATETIME": pa.array([1_522_540_831_000_000_000], pa.timestamp("ns")),
    "CUSTOMER_ID": pa.array([596], pa.int32()),
    "TERMINAL_ID": pa.array([3156], pa.int32()),
    "TX_AMOUNT": [0.29],
    "TX_FRAUD": pa.array([1], pa.int8()),
}


def test_agreement_counts_neighbours_of_either_sign_and_both_nulls() -> None:
    one = np.array([1.0, 0.0, -0.0, np.nan, -1.0, 1.0, np.nan], np.float32)
    near = np.float32(1.0)
    other = np.array(
        [np.nextafter(near, np.float32(2)), -0.0, 0.0, np.nan, np.nextafter(-near, np.float32(0)),
         1.1, 1.0], np.float32,
    )  # fmt: skip
    assert agreement(one, other) == {"values": 7, "equal": 3, "one_ulp": 2, "more": 2}


def test_judged_refuses_scores_without_a_label() -> None:
    scores = pa.table({"example_id": ["a", "b"], "terminal_id": ["t", "t"], "score": [0.1, 0.9]})
    labels = pa.table({"transaction_id": ["a"], "is_fraud": [0]})
    with pytest.raises(InvalidInputError, match="1 of 2 scores have no label"):
        judged(scores, labels)


def test_interval_that_draws_terminals_is_wider_where_frauds_come_in_runs() -> None:
    generator = np.random.default_rng(1)
    terminals = np.repeat(np.arange(200), 20)
    is_bad = terminals % 20 == 0
    scores = np.where(is_bad & (terminals % 40 == 0), 0.9, 0.1) + generator.uniform(0, 0.05, 4_000)
    ids = [str(i) for i in range(4_000)]
    rows = pa.table(
        {"example_id": ids, "terminal_id": [f"t{t}" for t in terminals], "score": scores}
    )
    labels = pa.table({"transaction_id": ids, "is_fraud": is_bad.astype(int)})
    report = judged(rows, labels).report()
    plain, grouped = report["average_precision"], report["average_precision_by_terminal"]
    assert plain["low"] <= plain["value"] <= plain["high"]
    assert grouped["high"] - grouped["low"] > 1.5 * (plain["high"] - plain["low"])


def test_rows_of_the_file_become_events_of_both_sources(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(ROW), path)
    file = File.read(path)
    row = file.transactions.to_pylist()[0]
    label = file.labels(7).to_pylist()[0]
    assert (row["event_id"], row["card_id"], row["terminal_id"], row["amount_minor"]) == (
        "tx-7", "card-596", "terminal-3156", 29,
    )  # fmt: skip
    assert (label["event_timestamp"] - row["event_timestamp"]).days == 7
    assert label["available_at"] == label["event_timestamp"]
    assert label["is_fraud"] == 1


def test_a_home_filled_from_another_file_is_refused(tmp_path: Path) -> None:
    one, other, platform = tmp_path / "one", tmp_path / "other", Platform(tmp_path / "home")
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    Run.of(platform, one).measured("step", lambda: "done")
    assert Run.of(platform, one).done["step"]["said"] == "done"
    assert (platform.home / STATE).is_file()
    with pytest.raises(InvalidInputError, match="another file"):
        Run.of(platform, other)


def test_a_slice_holds_terminals_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    numbers = [0, 1, 24, 25, 26, 50, 50, 3156]
    pq.write_table(pa.table({"TERMINAL_ID": pa.array(numbers, pa.int32())}), path)
    found = pq.read_table(slice_of(path, 25, tmp_path / "new" / "slice.parquet"))
    assert found["TERMINAL_ID"].to_pylist() == [0, 25, 50, 50]


def said_of(file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([str(file), "--home", str(file.parent / "home")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    return said.err


def test_a_file_that_cannot_be_used_is_said_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, path = pa.table(ROW), tmp_path / "rows.parquet"
    assert "there is no file of that name" in said_of(path, capsys)
    assert "there is no file of that name" in said_of(tmp_path, capsys)
    path.write_text("TRANSACTION_ID,TX_DATETIME\n")
    assert "cannot be read as Parquet" in said_of(path, capsys)
    pq.write_table(rows.drop_columns(["TX_FRAUD"]), path)
    assert "has no column TX_FRAUD" in said_of(path, capsys)
    texts = rows.set_column(4, "TX_AMOUNT", pa.array(["0.29"]))
    pq.write_table(texts, path)
    assert "another TX_AMOUNT: it must hold floats; found string" in said_of(path, capsys)


def test_without_a_file_the_one_beside_the_project_is_taken_or_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = tmp_path / "beside.parquet"
    monkeypatch.setattr(real_data, "DEFAULT_FILE", beside)
    assert main(["--home", str(tmp_path / "home")]) == 2
    said = capsys.readouterr().err
    assert "no file was named" in said
    assert str(beside) in said
    assert "make real-data FILE=PATH" in said
    pq.write_table(pa.table(ROW), beside)
    assert real_data.named_file(None) == beside
