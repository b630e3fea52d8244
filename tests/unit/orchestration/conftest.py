from __future__ import annotations

import os

import pytest

from orchestration import cli


@pytest.fixture
def throughline(capsys, monkeypatch):
    """Runs a command on a home, whatever the environment says; its exit code, and what it said."""
    for name in [name for name in os.environ if name.startswith("THROUGHLINE_")]:
        monkeypatch.delenv(name)

    def run(home, *words):
        code = cli.main([*map(str, words), "--home", str(home)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run
