"""Which tests one worker runs: the whole of a file, and of files that share something dear."""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadFileScheduling

# A JVM is started once a process, and for the same settings. Candidates are fitted once a process.
# MLflow and Great Expectations take two seconds to import.
SHARES = {
    "spark": (
        "tests/spark/",
        "tests/feast/test_from_spark.py",
        "tests/e2e/test_retraining_loop.py",
    ),
    "models": (
        "tests/unit/training/",
        "tests/unit/assets/test_registry.py",
        "tests/unit/assets/test_retention.py",
        "tests/unit/orchestration/test_mirror.py",
        "tests/unit/orchestration/test_retention_command.py",
    ),
    "expectations": (
        "tests/unit/assets/test_checks.py",
        "tests/unit/assets/test_events_checks.py",
        "tests/unit/assets/test_table_expectations.py",
        "tests/unit/assets/test_training_checks.py",
        "tests/unit/orchestration/test_ingest.py",
    ),
}


def share_of(nodeid: str) -> str | None:
    """Name of the share that a test belongs to; None for one that goes with its file."""
    return next((name for name, files in SHARES.items() if nodeid.startswith(files)), None)


def shares_first(items: list[pytest.Item]) -> None:
    """Begin with what takes one worker long, so that others do not wait for it in the end."""
    items.sort(key=lambda item: share_of(item.nodeid) is None)


class WorkerShares(LoadFileScheduling):  # type: ignore[misc]
    """A file is never divided, as with ``--dist loadfile``; nor are shares of several."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid) or nodeid.split("::", 1)[0]
