"""Dagster's instance of the embedded and the test environment: one folder, SQLite, a queue."""

from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from infra.instance import TICKS_KEPT
from stores.durable import write_durably

FILE = "dagster.yaml"


def embedded_configuration(home: Path) -> dict[str, Any]:
    """Content of ``dagster.yaml`` on one machine.

    One run at a time: two Spark drivers on one machine take each other's memory. The default
    launcher notices no crash of a run, so monitoring is on. Nothing is sent anywhere.
    """
    return {
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "storage": {
            "custom": {
                "module": "orchestration.sqlite_storage",
                "class": "EmbeddedSqliteStorage",
                "config": {"base_dir": str(home)},
            }
        },
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
        },
        "concurrency": {
            "runs": {"max_concurrent_runs": 1},
            "pools": {"default_limit": 1, "granularity": "op"},
        },
        "run_monitoring": {
            "enabled": True,
            "start_timeout_seconds": 180,
            "max_resume_run_attempts": 0,
            "poll_interval_seconds": 30,
        },
        "run_retries": {
            "enabled": True,
            "max_retries": 1,
            "retry_on_asset_or_op_failure": False,
        },
        "retention": TICKS_KEPT,
    }


def prepare_home(home: Path) -> Path:
    """Folder of the instance with its ``dagster.yaml`` as this version of the code has it."""
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    content = yaml.safe_dump(embedded_configuration(home), sort_keys=False).encode()
    path = home / FILE
    if not path.exists() or path.read_bytes() != content:
        write_durably(path, content)
    return home


def open_instance(home: Path) -> dg.DagsterInstance:
    """Instance of a folder, without asking the environment for it."""
    return dg.DagsterInstance.from_config(str(prepare_home(home)))
