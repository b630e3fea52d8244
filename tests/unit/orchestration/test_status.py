"""`status` looks and does nothing else, on any home that it may read."""

import ctypes
import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bundles import serve, shelve

from orchestration import cli
from orchestration.addresses import Addresses, write_addresses
from orchestration.commands import status
from orchestration.settings import Settings
from orchestration.shell import Shell
from stores.layout import Layout
from stores.log.source_log import SourceLog

LIBC = ctypes.CDLL(None, use_errno=True)
CAPABILITIES_3 = 0x20080522
MAY_WRITE_ANYWHERE = 1 << 1  # CAP_DAC_OVERRIDE of capabilities(7)


@contextmanager
def obeying_permissions() -> Iterator[None]:
    """Nobody may write where the mode forbids it, root neither; everything stays readable."""
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_3, 0)
    held = (ctypes.c_uint32 * 6)()
    assert LIBC.capget(header, held) == 0
    lowered = type(held)(held[0] & ~MAY_WRITE_ANYWHERE, *held[1:])
    assert LIBC.capset(header, lowered) == 0
    try:
        yield
    finally:
        assert LIBC.capset(header, held) == 0


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
    with obeying_permissions():
        yield home
    for path in (home, *home.rglob("*")):
        path.chmod(0o755)


def test_status_of_a_home_that_may_not_be_written_is_said(read_only):
    """It failed: the compiled plan was to be kept."""
    with pytest.raises(PermissionError):
        (read_only / "state" / "x").touch()
    assert "epoch 0 and open" in look(read_only)
