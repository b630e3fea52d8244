from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from benchmarks.measure import Measurement, Pass, measure, reported, tree_cpu_s, tree_rss_bytes


def python(code: str, *, timeout_s: float = 20.0, **environment: str) -> Measurement:
    return measure(
        "case", [sys.executable, "-c", code], timeout_s=timeout_s, environment=environment
    )


def test_the_last_line_is_the_result_and_names_the_seconds():
    measurement = python('print(\'noise\'); print(\'{"seconds": 1.5, "cpu_s": 2.5, "rows": 3}\')')
    assert measurement.failure == ""
    assert (measurement.seconds, measurement.finished_s, measurement.cpu_s) == (1.5, 1.5, 2.5)
    assert measurement.result["rows"] == 3
    assert measurement.first_s is None


def test_the_wall_time_counts_where_a_case_names_no_seconds():
    measurement = python("import time; time.sleep(0.2); print('{}')")
    assert measurement.seconds == measurement.wall_s >= 0.2


def test_peak_memory_is_that_of_the_whole_tree():
    child = "import time; held = bytearray(120 * 2**20); time.sleep(0.7)"
    code = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); print('{{}}')"
    )
    measurement = python(code)
    assert 120 < measurement.peak_rss_mb < 400


def test_a_failure_is_told_by_its_last_line_and_has_no_seconds():
    measurement = python("raise SystemExit('it has no rows')")
    assert measurement.failure == "it has no rows"
    assert measurement.finished_s is None


def test_a_case_without_a_result_fails_instead_of_breaking_the_suite():
    assert python("print('no JSON')").failure == "no result on its last line: no JSON"
    assert python("pass").failure == "no result on its last line: "


def test_what_runs_over_is_killed_with_its_children(tmp_path):
    pid_file = tmp_path / "pid"
    child = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    measurement = python(code, timeout_s=1.5)
    assert measurement.failure == "not finished in 2 s"
    assert measurement.wall_s < 20
    deadline = time.monotonic() + 10  # a killed process runs on until it is next scheduled
    while is_alive(pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(pid_file.read_text())


def is_alive(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return state.rsplit(")", 1)[1].split()[0] != "Z"


def test_the_environment_is_ours_and_what_was_added():
    seen = "{'mark': os.environ['MARK'], 'path': 'PATH' in os.environ}"
    measurement = python(f"import json, os; print(json.dumps({seen}))", MARK="here")
    assert measurement.result == {"mark": "here", "path": True}


def test_a_pass_counts_seconds_and_the_cpu_of_the_tree():
    with Pass() as timed:
        sum(i * i for i in range(2_000_000))
    assert 0 < timed.seconds < 30
    assert 0.02 < timed.cpu_s <= timed.seconds + 0.5
    assert tree_cpu_s(os.getpid()) > 0
    assert tree_rss_bytes(os.getpid()) > 2**20
    assert tree_cpu_s(2**22 + 1) == 0.0


def test_the_last_pass_is_reported_and_the_first_beside_it():
    first, last = Pass(9.0, 12.0), Pass(4.0, 6.0)
    assert reported([last]) == {"seconds": 4.0, "cpu_s": 6.0}
    said = reported([first, last])
    assert (said["first_pass_s"], said["seconds"]) == (9.0, 4.0)
    assert json.dumps(said)
    measurement = Measurement("case", 20.0, 1.0, dict(said))
    assert (measurement.first_s, measurement.seconds, measurement.cpu_s) == (9.0, 4.0, 6.0)
