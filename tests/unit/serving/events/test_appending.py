"""Who may append to the logs in files of a home: one machine, and it alone."""

from __future__ import annotations

import asyncio

import pytest
from payments import NOW_MS

from core.clock import FixedClock
from core.errors import DependencyError, NotReadyError
from serving.events.appending import Line, LogAppenders
from serving.settings import read_settings
from stores.log.source_log import SourceLog

LINE = Line(b"{}", b"key")


def appenders(home, machine, **variables):
    given = {f"THROUGHLINE_{name}": value for name, value in variables.items()}
    settings = read_settings({"THROUGHLINE_HOME": str(home), **given})
    return LogAppenders(settings, FixedClock(NOW_MS), None, machine=machine)


def append(of, source="payments"):
    return asyncio.run(of.of(source).append([LINE]))


def test_processes_of_one_machine_append_to_one_log(tmp_path):
    for machine in ("one", "one"):
        append(appenders(tmp_path, machine))
    assert len(list(SourceLog(tmp_path / "log" / "payments", "payments").read_open())) == 2


def test_a_second_machine_refuses_events_of_every_source(tmp_path):
    first, second = appenders(tmp_path, "one"), appenders(tmp_path, "two")
    append(first)
    for source in ("payments", "verdicts"):
        with pytest.raises(NotReadyError) as refused:
            append(second, source)
        assert refused.value.code == "events_elsewhere"
    assert "THROUGHLINE_KAFKA__BOOTSTRAP" in str(refused.value)
    append(first, "verdicts")


def test_a_replica_that_is_told_so_refuses_events_from_the_first(tmp_path):
    told = appenders(tmp_path, "one", HTTP__MAY_TAKE_EVENTS="false")
    with pytest.raises(NotReadyError, match="takes no events") as refused:
        append(told)
    assert refused.value.code == "events_elsewhere"
    append(appenders(tmp_path, "two"))


@pytest.mark.parametrize("folder", ["log", "state"])
def test_a_folder_that_cannot_be_written_is_told_as_a_log_that_cannot(tmp_path, folder):
    in_its_place = tmp_path / folder
    in_its_place.write_text("")
    told = appenders(tmp_path, "one")
    with pytest.raises(DependencyError) as refused:
        append(told)
    assert refused.value.code == "log_unwritable"
    in_its_place.unlink()
    append(told)
