"""Each extra, installed alone, imports its folder: the images stay small."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
UV = PROJECT / ".tools" / "bin" / "uv"
HEAVY = ("dagster", "pyspark", "feast", "mlflow", "pandas", "numba", "xgboost")

CASES = {
    "serving": (
        [
            "serving.main",
            "serving.folder",
            "serving.controller",
            "serving.console.passport",
            "use_cases.fraud.use_case",
        ],
        HEAVY,
    ),
    "spark": (
        ["spark_jobs.ingest", "spark_jobs.tiles", "spark_jobs.training_set", "spark_jobs.scores"],
        ("dagster", "feast", "mlflow", "fastapi"),
    ),
    "orchestration": (
        [
            "orchestration.cli",
            "orchestration.code_location",
            "feature_store.offline",
            "feature_store.online",
            "training.fit",
        ],
        ("pyspark", "mlflow", "great_expectations", "serving", "spark_jobs"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("extra", CASES)
def test_extra_alone_imports_its_folder(extra, tmp_path):
    if not UV.exists():
        pytest.skip("uv is not in .tools; run `make setup`")
    modules, absent = CASES[extra]
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(tmp_path / "venv")}
    sync = [str(UV), "sync", "--locked", "--quiet", "--no-dev", "--no-compile-bytecode"]
    subprocess.run([*sync, "--extra", extra], cwd=PROJECT, env=environment, check=True)
    program = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print([name for name in {absent!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [str(tmp_path / "venv" / "bin" / "python"), "-c", program],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "[]"
