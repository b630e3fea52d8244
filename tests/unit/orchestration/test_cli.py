from __future__ import annotations

import importlib
import io
from typing import Any

import pytest

from core import errors
from orchestration import cli
from orchestration.commands.backfill import with_tables
from orchestration.settings import Settings
from orchestration.shell import Shell


def subclasses(kind: type[errors.PlatformError]) -> set[type[errors.PlatformError]]:
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in list(__import__("os").environ):
        if name.startswith("THROUGHLINE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_without_arguments_every_command_is_printed_with_its_help(capsys):
    assert cli.main([]) == 0
    printed = capsys.readouterr().out
    for command in cli.COMMANDS:
        assert f"{command.name} " in printed
        assert command.help in printed


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda c: c.name)
def test_every_command_has_help_and_a_way_to_run(command, capsys):
    module = importlib.import_module(f"orchestration.commands.{command.module}")
    assert callable(module.run)
    with pytest.raises(SystemExit) as stop:
        cli.parser_of(command).parse_args(["--help"])
    assert stop.value.code == 0
    assert command.help in " ".join(capsys.readouterr().out.split())


def test_an_unknown_command_is_said_with_those_there_are(capsys):
    assert cli.main(["predcit"]) == 2
    said = capsys.readouterr().err
    assert "'predcit'" in said
    assert "predict" in said


def test_a_wrong_option_says_where_to_read_on(home, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["status", "--colour"])
    assert stop.value.code == 2
    assert "throughline status --help" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["transactions", "--id", "e1", "card_id=c1", "terminal_id=t1"],
        ["--id", "e1", "transactions", "card_id=c1", "terminal_id=t1"],
        ["transactions", "card_id=c1", "terminal_id=t1", "--id", "e1"],
        ["transactions", "card_id=c1", "--id", "e1", "terminal_id=t1"],
    ],
    ids=["behind", "last", "before", "on both sides"],
)
def test_fields_stand_on_either_side_of_an_option(home, monkeypatch, words):
    push = importlib.import_module("orchestration.commands.push")
    ran: list[Any] = []

    def run(arguments, shell):
        ran.append(arguments)
        return 0

    monkeypatch.setattr(push, "run", run)
    assert cli.main(["push", *words]) == 0
    (arguments,) = ran
    assert (arguments.source, arguments.id) == ("transactions", "e1")
    assert arguments.field == ["card_id=c1", "terminal_id=t1"]


@pytest.mark.parametrize("kind", sorted(subclasses(errors.PlatformError), key=str))
def test_every_error_has_an_exit_code_of_its_nearest_family(kind):
    code = cli.exit_code_of(kind("x"))
    nearest = next(k for k in kind.__mro__ if k in cli.EXIT_CODES)
    assert code == cli.EXIT_CODES[nearest] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ingest", "nothing", "x.csv"], "no source called 'nothing'"),
        (["ingest", "transactions", "/nowhere/x.csv"], "no file of that name"),
        (["ingest", "transactions", "/nowhere/x.csv", "--map", "/nowhere/m.yaml"], "mapping"),
        (["ingest", "transactions", "x.csv", "--delay", "7d"], "--historic"),
        (["ingest", "transactions", "x.csv", "--historic", "--delay", "soon"], "duration"),
        (["train", "nothing"], "no use case called 'nothing'"),
        (["train", "fraud"], "no examples for fraud"),
        (["train", "fraud", "--cut", "tomorrow"], "instant cannot be read"),
        (["backfill"], "no events"),
        (["score", "fraud"], "no champion"),
        (["rejects", "replay", "transactions"], "which records"),
        (["snapshot", "rebuild", "abc"], "no snapshot 'abc'"),
        (["snapshot", "rebuild"], "which snapshot"),
        (["predict", "nothing"], "no use case called 'nothing'"),
        (["predict", "fraud", "card_id"], "name=value"),
        (["predict", "fraud", "amount=1"], "no field 'amount'"),
        (["predict", "fraud", "amount_minor=much"], "not of type int64"),
        (["push", "transactions", "card_id=a", "card_id=b"], "twice"),
        (["approve", "fraud", "1", "--who", "me"], "not on the shelf"),
        (["rollback", "nothing", "--why", "x"], "no use case"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_an_error_in_words_without_a_trace(home, capsys, words, said):
    assert cli.main([cli.IN_CHILD, *words]) > 0
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err + captured.out


@pytest.mark.parametrize(
    "words", [["predict", "fraud", "card_id=a"], ["why", "x"], ["replay", "x"]]
)
def test_a_service_that_is_not_running_is_said_with_the_remedy(home, capsys, monkeypatch, words):
    monkeypatch.setenv("THROUGHLINE_HTTP__PORT", "1")
    assert cli.main(words) == 3
    assert "throughline up" in capsys.readouterr().err


def test_a_misspelt_variable_stops_every_command(home, capsys, monkeypatch):
    monkeypatch.setenv("THROUGHLINE_HOEM", "/x")
    assert cli.main(["status"]) == 2
    assert "THROUGHLINE_HOEM" in capsys.readouterr().err


def test_status_of_an_empty_home_says_what_is_missing(home, capsys):
    assert cli.main(["status"]) == 0
    printed = capsys.readouterr().out
    assert "no table" in printed
    assert "not running" in printed


def test_views_of_a_source_without_rows_are_left_out_and_named(tmp_path):
    """A new use case could not be filled in a home where the others had no rows."""
    out = io.StringIO()
    shell = Shell(Settings(home=tmp_path), out=out)
    assert with_tables(shell, {"a_v1": True, "b_v1": False}) == ["a_v1"]
    assert out.getvalue() == "  no tables yet for b_v1: left out\n"
