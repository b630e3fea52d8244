"""`throughline new` writes a declaration that holds as it stands, and its page fits it."""

from __future__ import annotations

import csv
import importlib
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from core.clock import SystemClock
from core.rows.row_parser import RowParser, Violation
from feature_store.plans import plan_for
from orchestration import cli
from orchestration.commands.predict import request_of
from orchestration.fields import values_of
from stores.layout import Layout
from use_cases import discover

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "first-use-case.md").read_text()
LINES = [
    shlex.split(line)[1:]
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("throughline ")
]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Folder of the use case that the page begins with, on the path."""
    (line,) = (line for line in LINES if line[0] == "new")
    assert cli.main([*line, "--into", str(tmp_path), "--home", str(tmp_path / "home")]) == 0
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path / "churn"
    for name in [name for name in sys.modules if name.split(".")[0] == "churn"]:
        del sys.modules[name]


@pytest.mark.usefixtures("written")
def test_it_is_found_and_compiles(tmp_path):
    plan = plan_for(discover(["churn"])["churn"], Layout(tmp_path / "home"), is_kept=False)
    assert len(plan.vector) == 11
    assert plan.vector[-1] == "churn_case_v1:price_per_use"


@pytest.mark.usefixtures("written")
def test_its_sample_keeps_the_contracts_that_it_declares(tmp_path, capsys):
    capsys.readouterr()
    importlib.import_module("churn.sample").main(tmp_path / "landing")
    sources = discover(["churn"])["churn"].sources
    for source, path in zip(sources, capsys.readouterr().out.split(), strict=True):
        with Path(path).open() as file:
            rows = list(csv.DictReader(file))
        parse = partial(RowParser(source).parse, now_ms=SystemClock().now_ms())
        assert len(rows) > 1_000
        assert [parsed for parsed in map(parse, rows[::20]) if isinstance(parsed, Violation)] == []
        # A column of one value is refused by the training set's checks.
        assert all(len({row[name] for row in rows}) > 1 for name in rows[0])


@pytest.mark.usefixtures("written")
def test_every_command_of_the_page_fits_what_is_declared():
    use_case = discover(["churn"])["churn"]
    sources = {source.name for source in use_case.sources}
    said = {line[0] for line in LINES}
    assert {"ingest", "backfill", "materialise", "train", "predict", "push"} <= said
    for verb, *words in LINES:
        if verb == "ingest":
            assert words[0] in sources
            assert f"{words[0].removeprefix('churn_')}.csv" == Path(words[1]).name
        elif verb == "push":
            fields = use_case.source(words[0]).fields
            assert set(values_of(words[1:], {f.name: f for f in fields})) == {
                f.name for f in fields
            }
        elif verb == "predict":
            assert words[0] == "churn"
            assert request_of(use_case, words[1:])["inputs"] == {"price_minor": 999}


def test_it_is_written_as_the_house_writes(written):
    settings = ["--config", str(ROOT / "pyproject.toml"), "--no-cache", "--quiet", str(written)]
    for check in (["check", "--ignore", "I001"], ["format", "--check"]):
        words = [sys.executable, "-m", "ruff", *check, *settings]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_what_is_there_is_never_written_over(written, tmp_path, capsys):
    (written / "features.py").write_text("mine")
    for name, where in (
        ("churn", tmp_path),
        ("fraud", None),
        ("builders", None),
        ("json", tmp_path),
    ):
        into = ["--into", str(where)] if where else []
        assert cli.main(["new", name, *into, "--home", str(tmp_path / "home")]) == 2
        assert f"the name '{name}' is taken" in capsys.readouterr().err
    assert (written / "features.py").read_text() == "mine"


@pytest.mark.parametrize("name", ["", "Churn", "a b", "../x", "import", "x" * 99])
def test_a_name_that_cannot_be_one_is_said(tmp_path, capsys, name):
    assert cli.main(["new", name, "--into", str(tmp_path), "--home", str(tmp_path / "home")]) == 2
    assert "cannot be the name of a use case" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
