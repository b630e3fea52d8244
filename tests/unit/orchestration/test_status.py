"""`status` looks and does nothing else, on any home that it may read."""

import io
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from bundles import serve, shelve

from orchestration import cli
from orchestration.addresses import Addresses, write_addresses
from orchestration.commands import status
from orchestration.settings import Settings
from orchestration.shell import Shell
from stores.layout import Layout
from stores.log import SourceLog

NOBODY = 65_534


def look(home: Path) -> str:
    """What `status` says of a home."""
    said = io.StringIO()
    command = next(command for command in cli.COMMANDS if command.name == "status")
    arguments = cli.parser_of(command).parse_args([])
    assert status.run(arguments, Shell(Settings(home=home), {}, out=said)) == 0
    return said.getvalue()


def listing(home: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder with what a change would change."""
    found = {}
    for path in (home, *sorted(home.rglob("*"))):
        fact = path.stat()
        found[str(path)] = (fact.st_mtime_ns, fact.st_ctime_ns, fact.st_size)
    return found


@pytest.fixture
def home():
    """A home with something of everything, in a folder that others may read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    layout = Layout(folder / "home").create()
    serve(layout, shelve(layout), counter=1)
    SourceLog(layout.log_dir("transactions"), "transactions").append([b"{}"], now_ms=1)
    write_addresses(layout, Addresses(service="http://127.0.0.1:1"))
    yield layout.root
    shutil.rmtree(folder)


def test_status_writes_nothing(home):
    before = listing(home)
    assert "epoch 0 and open" in look(home)
    assert listing(home) == before


def test_status_of_a_home_that_is_not_there_makes_none(tmp_path):
    assert "no table" in look(tmp_path / "home")
    assert not (tmp_path / "home").exists()


@pytest.fixture
def read_only(home):
    """The home as one who may look and not touch, whoever runs the tests."""
    for path in (home, *home.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    is_root = os.geteuid() == 0
    if is_root:  # root may write anywhere
        os.seteuid(NOBODY)
    yield home
    if is_root:
        os.seteuid(0)
    for path in (home, *home.rglob("*")):
        path.chmod(0o755)


def test_status_of_a_home_that_may_not_be_written_is_said(read_only):
    """It failed: the compiled plan was to be kept."""
    with pytest.raises(PermissionError):
        (read_only / "state" / "x").touch()
    assert "epoch 0 and open" in look(read_only)
