from __future__ import annotations

from typing import Any

import pytest

from core.clock import FixedClock
from serving.configuration import note_configuration
from serving.settings import Settings
from stores.audit.log import AuditLog
from stores.layout import Layout

SECRET = "redis://:hunter2@db:6379"


@pytest.fixture
def start(tmp_path):
    """Starts a process with settings; what it told."""

    def started(process="service", **changes: Any) -> list[str]:
        told: list[str] = []
        settings = Settings(home=tmp_path, **changes)
        note_configuration(process, settings, FixedClock(7), told.append)
        return told

    return started


def noted(home):
    records = AuditLog.of(Layout(home), is_signing=False).latest(9)
    return [(r.about["process"], r.about["settings"]) for r in records]


def test_changed_settings_are_named_once_for_each_process(start, tmp_path):
    start()
    start()
    start("controller")
    start(http={"port": 81}, online_url=SECRET)
    start(http={"port": 81}, online_url=SECRET)
    start()
    changed = ["http.port", "online_url"]
    assert noted(tmp_path) == [
        ("service", []),
        ("controller", []),
        ("service", changed),
        ("service", changed),
    ]


def test_no_value_is_kept_anywhere(start, tmp_path):
    start(online_url=SECRET)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes(), path


def test_a_changed_audit_log_is_told_and_stops_no_start(start, tmp_path):
    start()
    (tmp_path / "audit" / "head.json").unlink()
    (told,) = start(http={"port": 82})
    assert told.startswith("the settings are not in the audit log: the audit log is not what was")
