"""Bad input to the command line as a stranger gives it: words, an exit code, nothing changed.

No JVM: what would need one has been refused before.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.contracts import Source
from core.errors import ConfigurationError
from core.mapping import check_unmapped, read_mapping
from orchestration import cli
from orchestration.client import record_path
from stores.log.source_log import SourceLog
from use_cases import discover

TINY = Path(__file__).parents[1] / "support" / "tiny_case"
HEAD = "event_id,event_timestamp,card_id,terminal_id,amount_minor\n"
ROW = "e1,2026-01-01T00:00:00Z,c1,t1,100\n"
MAPPING = """source: transactions
fields:
  event_id: {from: event_id}
  event_timestamp: {from: event_timestamp, convert: [parse_time]}
  card_id: {from: card_id}
  terminal_id: {from: terminal_id}
  amount_minor: {from: amount_minor, convert: [to_int]}
"""


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    for name in [name for name in os.environ if name.startswith("THROUGHLINE_")]:
        monkeypatch.delenv(name)
    folder: Path = tmp_path / "home"
    return folder


def refused(capsys, home: Path, *words: object) -> str:
    """What is said when a command is refused; it must be one line, and no trace."""
    try:
        code = cli.main([cli.IN_CHILD, *map(str, words), "--home", str(home)])
    except SystemExit as stop:
        code = int(str(stop.code))
    captured = capsys.readouterr()
    assert code in (1, 2, 3), captured.out
    assert "Traceback" not in captured.err + captured.out
    assert "fault of the platform" not in captured.err
    assert captured.err.startswith("error: ")
    return str(captured.err)


def log_of(home: Path) -> list[Path]:
    folder = home / "log" / "transactions"
    return [path for path in folder.glob("*") if path.name != "lock"] if folder.exists() else []


def parquet(**columns: object) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


FILES: dict[str, tuple[str, bytes, str]] = {
    "not parquet": ("f.parquet", b"hello", "cannot be read as Parquet"),
    "no byte": ("f.parquet", b"", "empty"),
    "no row": ("f.parquet", parquet(event_id=pa.array([], pa.string())), "no row"),
    "nested": ("f.parquet", parquet(event_id=[[1]]), "event_id holds nested"),
    "another source": (
        "f.parquet",
        parquet(label_id=["a"]),
        "terminal_id; it has besides label_id",
    ),
    "only a header": ("f.csv", HEAD.encode(), "no row"),
    "another delimiter": ("f.csv", (HEAD + ROW).replace(",", ";").encode(), "it lacks"),
    "another encoding": ("f.csv", (HEAD + ROW).encode("utf-16"), "not UTF-8"),
    "a header twice": ("f.csv", b"card_id,card_id\n1,2\n", "'card_id' more than once"),
    "a column more": ("f.csv", f"colour,{HEAD}x,{ROW}".encode(), "it has besides colour"),
    "an array": ("f.ndjson", b'[{"event_id": "e1"}]', "JSON array"),
    "compressed": ("f.csv.gz", b"\x1f\x8b", "suffix"),
}


@pytest.mark.parametrize(("name", "content", "said"), FILES.values(), ids=FILES.keys())
def test_a_file_that_holds_no_row_of_the_source_lands_nothing(
    home, tmp_path, capsys, name, content, said
):
    (tmp_path / name).write_bytes(content)
    assert said in refused(capsys, home, "ingest", "transactions", tmp_path / name)
    assert log_of(home) == []


@pytest.mark.parametrize("path", ["x" * 5_000 + ".csv", "/dev/null", "/nowhere/f.csv", ""])
def test_a_path_that_leads_nowhere_is_said(home, capsys, path):
    refused(capsys, home, "ingest", "transactions", path)
    assert log_of(home) == []


def test_the_file_of_a_folder_that_is_refused_is_named_and_those_before_it_stay(
    home, tmp_path, capsys
):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.csv").write_text(HEAD + ROW)
    (folder / "b.parquet").write_bytes(b"torn")
    assert "b.parquet: " in refused(capsys, home, "ingest", "transactions", folder)
    (epoch,) = SourceLog(home / "log" / "transactions", "transactions").epochs()
    assert epoch.format == "csv"


MAPPINGS = {
    "nothing": ("", "dictionary"),
    "no YAML": ("source: [", "cannot be read"),
    "too deep": ("[" * 3_000, "cannot be read"),
    "a field twice": (MAPPING + "  card_id: {from: terminal_id}\n", "card_id is given twice"),
    "not a number": (MAPPING.replace("{from: card_id}", "{constant: .nan}"), "nan"),
    "a date in a table": (
        MAPPING.replace("[to_int]", "[{translate: {a: 2020-01-01}}]"),
        "quote dates",
    ),
    "unknown conversion": (MAPPING.replace("to_int", "to_euros"), "'to_euros'"),
    "wrong argument": (MAPPING.replace("to_int", "{to_minor_units: x}"), "type int"),
    "another source": (MAPPING.replace("source: tr", "source: x"), "not for source transactions"),
    "a field left out": (MAPPING.replace("  card_id: {from: card_id}\n", ""), "left out card_id;"),
    "a column not there": (MAPPING.replace("from: card_id", "from: nowhere"), "lacks: nowhere"),
}


@pytest.mark.parametrize(("text", "said"), MAPPINGS.values(), ids=MAPPINGS.keys())
def test_a_wrong_mapping_lands_nothing(home, tmp_path, capsys, text, said):
    (tmp_path / "f.csv").write_text(HEAD + ROW)
    (tmp_path / "m.yaml").write_text(text)
    words = ("ingest", "transactions", tmp_path / "f.csv", "--map", tmp_path / "m.yaml")
    assert said in refused(capsys, home, *words)
    assert log_of(home) == []


def test_a_mapping_that_is_accepted_reads_back_from_the_log():
    """A NaN became null there, and every later ingest of the source failed on it."""
    document = {"source": "s", "fields": {"a": {"constant": 1.5}, "b": {"from": "B"}}}
    mapping = read_mapping(document)
    assert read_mapping(json.loads(json.dumps(mapping.document, allow_nan=False))) == mapping
    for value in (float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match="cannot be kept"):
            read_mapping({"source": "s", "fields": {"a": {"constant": value}}})


def test_columns_of_nullable_fields_may_be_left_out():
    source: Source = next(
        s for s in discover()["fraud"].sources if any(f.is_nullable for f in s.fields)
    )
    required = [field.name for field in source.fields if not field.is_nullable]
    check_unmapped(source, ["event_id", "event_timestamp", *required])
    with pytest.raises(ConfigurationError, match=required[0]):
        check_unmapped(source, ["event_id", "event_timestamp", *required[1:]])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("score", "fraud", "--as-of", "nodate"), "date cannot be read"),
        (("score", "fraud", "--as-of", "2999-01-01"), "nothing to compute"),
        (("score", "fraud", "--as-of", "2001-01-01"), "nothing to compute"),
        (("score", "fraud", "--as-of", "2024-01-01", "--from", "2024-01-02"), "behind the last"),
        (("score", "fraud", "--as-of", "2024-01-01", "--release", "99"), "release 99 of fraud"),
        (("score", "fraud", "--as-of", "2024-01-01", "--release", "-1"), "release -1 of fraud"),
        (("train", "fraud", "--start", "2026-13-01"), "date cannot be read"),
        (("approve", "fraud", "1", "--who", ""), "--who"),
        (("approve", "fraud", "1", "--who", "me", "--comment", "x" * 2_001), "--comment"),
        (("approve", "../etc", "1", "--who", "me"), "not the name of a use case"),
        (("rollback", "fraud", "--why", " "), "--why"),
        (("simulate", "--seed", "-1"), "seed"),
        (("simulate", "--days", "100000"), "days"),
        (("simulate", "--transactions", "1" + "0" * 30), "payments"),
        (("simulate", "--late-share", "nan"), "shares"),
        (("ingest", "transactions", "f.csv", "--historic", "--delay", "-1d"), "expected one"),
        (("up", "--port", "99999"), "65535"),
        (("up", "--ui-port", "-5"), "65535"),
        (("why", ""), "id is missing"),
        (("why", "a b\nc"), "not running"),
        (("replay", "\u00fc"), "not running"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_a_wrong_argument_is_said_before_anything_is_done(home, capsys, words, said):
    assert said in refused(capsys, home, *words)
    assert not (home / "landing").exists()


def test_a_delay_beyond_any_sense_lands_nothing(home, tmp_path, capsys):
    (tmp_path / "f.csv").write_text(HEAD + ROW)
    words = ("ingest", "transactions", tmp_path / "f.csv", "--historic", "--delay", "99999999d")
    assert "ten years" in refused(capsys, home, *words)
    assert log_of(home) == []


def test_a_home_that_cannot_be_one_is_said(tmp_path, home, capsys):
    (tmp_path / "file").write_text("x")
    assert "is a file" in refused(capsys, tmp_path / "file", "status")
    assert "/proc/nothing" in refused(capsys, Path("/proc/nothing"), "simulate")
    assert cli.main(["status", "--home", ""]) == 2
    assert (tmp_path / "file").read_text() == "x"


def test_the_service_of_another_home_is_never_asked(home, capsys):
    """A port was guessed, and an event of one home went into the log of another."""
    event = ("card_id=c1", "terminal_id=t1", "amount_minor=1")
    assert "not running" in refused(capsys, home, "push", "transactions", *event)


ANSWERS = {
    "another protocol": (b"-ERR unknown command\r\n", "is not the service"),
    "cut off": (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "is not the service"),
    "nothing": (b"", "is not the service"),
    "a page": (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "is not the service"),
    "a page that says no": (b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n[]", "HTTP status 404"),
}


@pytest.mark.parametrize(("answer", "said"), ANSWERS.values(), ids=ANSWERS.keys())
def test_a_port_where_something_else_answers_is_said(home, capsys, monkeypatch, answer, said):
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_once, args=(server, answer))
        thread.start()
        monkeypatch.setenv("THROUGHLINE_HTTP__PORT", str(server.getsockname()[1]))
        assert said in refused(capsys, home, "why", "fraud-00000000-0-0")
        thread.join()


def answer_once(server: socket.socket, answer: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(65_536)
        connection.sendall(answer)


def test_a_port_that_is_none_is_said(home, capsys, monkeypatch):
    monkeypatch.setenv("THROUGHLINE_HTTP__PORT", "many")
    refused(capsys, home, "why", "fraud-00000000-0-0")


def test_an_id_is_one_segment_of_a_path_whatever_is_typed():
    assert record_path("../../etc/passwd?x#y").count("/") == 3
    assert record_path("a b\n\u00fc") == "/v1/predictions/a%20b%0A%C3%BC"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("THROUGHLINE_MISSPELT", "1"),
        ("THROUGHLINE_ENVIRONMENT", "moon"),
        ("THROUGHLINE_SPARK", "4"),
        ("THROUGHLINE_SPARK__CORES", "0"),
        ("THROUGHLINE_SPARK__MEMORY", "lots"),
        ("THROUGHLINE_LAUNCH", "catapult"),
    ],
)
def test_a_variable_that_does_not_fit_is_named(home, capsys, monkeypatch, variable, value):
    monkeypatch.setenv("THROUGHLINE_SPARK__CORES", "1")
    monkeypatch.setenv(variable, value)
    assert variable in refused(capsys, home, "status")
    assert not home.exists()


U, F = "use_case.py", "features.py"
DECLARATIONS = {
    "no Python": (U, None, "def x(:", "SyntaxError"),
    "missing import": (U, None, "import nothing_there", "line 1"),
    "raises": (U, None, "1 / 0", "division by zero"),
    "leaves": (U, None, "raise SystemExit(3)", "SystemExit"),
    "nothing declared": (U, None, "X = 1", "declares no use case"),
    "unknown tier": (U, '"low"', '"extreme"', "risk_tier"),
    "name of another": (U, '"pumps"', '"fraud"', "two use cases are called 'fraud'"),
    "name as path": (U, '"pumps"', '"../pumps"', "cannot be called so"),
    "missing service": (U, '"pump_health_v1"', '"nope_v1"', "no feature service"),
    "absent label source": (U, 'source="failures", c', 'source="absent", c', "lacks the source"),
    "unknown label column": (U, 'column="has_failed"', 'column="nope"', "lacks the column"),
    "a source of two contracts": (
        U,
        "sources=(READINGS, FAILURES)",
        "sources=(READINGS, FAILURES, READINGS.model_copy(update={'name': 'transactions'}))",
        "two contracts",
    ),
    "other join key": (U, '("pump_id",)', '("other_id",)', "join keys other_id"),
    "threshold NaN": (U, "above=0.5", 'above=float("nan")', "finite"),
    "threshold above one": (U, "above=0.5", "above=5", "above"),
    "no candidate": (U, '("logistic",)', "()", "candidates"),
    "no trial": (U, "trials=1", "trials=0", "trials"),
    "nothing to train on": (U, "trials=1", "validation_share=0.6, test_share=0.6", "train on"),
    "features: no Python": (F, None, "def x(:", "SyntaxError"),
    "features: raises": (F, None, "1 / 0", "division by zero"),
    "features: missing import": (F, None, "import nothing_there", "nothing_there"),
    "unknown column": (F, '"vibration", "m', '"nope", "m', "'nope'"),
    "unknown function": (F, "mean max", "mean median", "'median'"),
    "window without grid": (F, "1h 1d", "1h 7h", "7h has no default grid"),
    "window not divisible": (F, '"1h 1d"', '"1h", grid="7m"', "must divide a day"),
    "a feature twice": (F, "mean max", "mean mean", "twice"),
    "no version": (F, '"pump_vibration_v1"', '"pump_vibration"', "end in its version"),
    "a view of another": (F, '"pump_vibration_v1"', '"card_activity_v1"', "card_activity_v1"),
}


@pytest.mark.parametrize("case", DECLARATIONS, ids=DECLARATIONS.keys())
def test_a_wrong_declaration_is_a_configuration_error_in_words(
    home, tmp_path, capsys, monkeypatch, case
):
    file, old, new, said = DECLARATIONS[case]
    name = f"declared_{abs(hash((case, str(tmp_path))))}"
    folder = tmp_path / name
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in folder.glob("*.py"):
        path.write_text(path.read_text().replace("tiny_case", name))
    text = (folder / file).read_text()
    assert old is None or old in text
    (folder / file).write_text(f"{new}\n" if old is None else text.replace(old, new))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("THROUGHLINE_USE_CASE_PACKAGES", name)
    assert said in refused(capsys, home, "status")
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


@pytest.mark.parametrize("package", ["nothing_there", "../x", ".x", "json", "a-b"])
def test_a_package_that_is_none_is_said(home, capsys, monkeypatch, package):
    monkeypatch.setenv("THROUGHLINE_USE_CASE_PACKAGES", package)
    assert repr(package) in refused(capsys, home, "status")
