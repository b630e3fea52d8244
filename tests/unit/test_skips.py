"""Where every real part is promised a skip is a failure, and elsewhere it says its reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = """
import pytest
from compiled_merge import built

def test_compiled():
    built()

@pytest.mark.gpu
def test_gpu():
    pytest.skip("no GPU")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("options", "failed"), [((), 0), (("--no-skips",), 1)])
def test_a_part_that_is_missing_fails_a_run_that_promises_it(tmp_path, options, failed):
    path = tmp_path / "test_parts.py"
    path.write_text(TEXT)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c"]
    words += [str(ROOT / "pyproject.toml"), "--confcutdir", str(ROOT), "-p", "tests.conftest"]
    environment = os.environ | {"PATH": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*words, str(path), *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == failed, done.stdout + done.stderr
    assert "no C compiler is installed" in done.stdout
    assert f"{2 - failed} skipped" in done.stdout
