"""The repository as a team uses it: from its folder, by Feast's own command line."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from feast import FeatureStore
from feast.repo_operations import get_repo_files

from feature_store.catalogue import catalogue_of_registry
from feature_store.compile import compile_service
from feature_store.plans import compile_use_case
from use_cases import discover

ROOT = Path(__file__).parents[2]


def test_feast_reads_one_file_and_no_use_case_twice():
    found = [path.name for path in get_repo_files(ROOT / "use_cases")]
    assert found == ["definitions.py"]


@pytest.mark.slow
def test_apply_by_the_command_line_registers_every_use_case(tmp_path):
    folder = tmp_path / "use_cases"
    shutil.copytree(
        ROOT / "use_cases", folder, ignore=shutil.ignore_patterns("__pycache__", "*.json")
    )
    (tmp_path / ".throughline/feast").mkdir(parents=True)
    feast = Path(sys.executable).with_name("feast")
    done = subprocess.run(
        [str(feast), "-c", str(folder), "apply"],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    store = FeatureStore(repo_path=str(folder))
    catalogue = catalogue_of_registry(store.registry, "throughline")
    use_cases = discover().values()
    assert set(catalogue.services) == {use_case.service for use_case in use_cases}
    for use_case in use_cases:
        plan = compile_service(catalogue.services[use_case.service], catalogue)
        assert plan.digest == compile_use_case(use_case).digest
    assert {source.name for source in store.list_data_sources()} >= {
        "transactions",
        "fraud_labels",
        "card_profiles",
    }


def test_the_repository_is_made_for_the_feast_that_is_locked():
    """What is built around Feast's faults was measured on this version: look again on another."""
    assert importlib.metadata.version("feast") == "0.67.0"
