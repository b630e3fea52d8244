"""Runs that the daemon launches have no main module; Spark Connect ends such a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[3]
PROGRAM = """
import pyarrow as pa
from assets.checks.expectations import training_expectations
columns = {"example_id": ["a"], "event_timestamp": [0], "label": [1], "split": ["train"]}
result = training_expectations(pa.table({**columns, "weight": [1.0]}))
print("passed" if result.passed else "failed")
"""


def test_great_expectations_judges_in_a_process_without_a_main_module():
    # `python -c` is to pyspark what a process of multiprocessing is: no spec, no file.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["passed"]
