from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import ConfigurationError, DependencyError
from spark_jobs.crash import IN_WRITES, POINTS, CrashPoints
from spark_jobs.job import EventDates, JobArguments, JobReport, arguments_of, failure_of, run_main

PROJECT = Path(__file__).parents[3]


class Arguments(JobArguments):
    dates: EventDates


def never(spark, arguments):
    raise AssertionError("a job ran without its arguments")


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"root": "r", "now_ms": 1}, "dates: Field required"),
        ({"root": "r", "now_ms": 1, "dates": []}, "dates"),
        ({"root": "r", "dates": ["2026-01-01"]}, "now_ms: Field required"),
        ({"root": "r", "now_ms": 1, "dates": ["2026-1-1"]}, "dates.0"),
        ({"root": "r", "now_ms": 1, "dates": ["20260101"]}, "dates.0"),
        ({"root": "r", "now_ms": 1, "dates": ["2026-01-01"], "day": 1}, "day: Extra"),
        ("nothing", "valid dictionary"),
    ],
)
def test_arguments_that_are_missing_or_unknown_are_named(document, named):
    with pytest.raises(ConfigurationError, match=named):
        arguments_of(Arguments, document)


def test_a_job_by_hand_without_arguments_says_so_and_does_nothing(capsys, tmp_path):
    assert run_main(Arguments, never, []) == 2
    assert "never guesses its dates" in capsys.readouterr().err
    assert run_main(Arguments, never, ["--arguments", str(tmp_path / "none.json")]) == 1
    assert "cannot be read" in capsys.readouterr().err
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"root": str(tmp_path), "now_ms": 1}))
    assert run_main(Arguments, never, ["--arguments", str(path)]) == 1
    assert "dates: Field required" in capsys.readouterr().err


def test_failures_say_whether_another_try_may_help():
    down = failure_of(DependencyError("a server is away", remedy="start it"))
    assert down == {
        "description": "a server is away; start it",
        "family": "DependencyError",
        "code": "dependency",
        "retryable": True,
    }
    assert failure_of(ConfigurationError("bad"))["retryable"] is False
    unexpected = failure_of(ValueError("first line\nsecond"))
    assert unexpected["description"] == "ValueError: first line"
    assert unexpected["retryable"] is True


def test_reports_are_frozen_json():
    class Report(JobReport):
        rows: int

    report = Report(rows=3)
    with pytest.raises(Exception, match="frozen"):
        report.rows = 4  # type: ignore[misc]  # what is refused here
    assert json.loads(report.model_dump_json()) == {"rows": 3}


def test_only_named_points_are_taken_and_others_are_passed():
    with pytest.raises(ConfigurationError, match=r"no crash point; found ingest\.nowhere"):
        CrashPoints.of("ingest.nowhere")
    CrashPoints.of(None).reach(POINTS[0])
    CrashPoints.of(POINTS[1]).reach(POINTS[0])


def test_nobody_waits_within_a_write_as_the_jvm_would_go_on_with_it(tmp_path):
    for point in IN_WRITES:
        assert CrashPoints.of(point).at == point
        with pytest.raises(ConfigurationError, match="no crash point"):
            CrashPoints.of(f"{point}@{tmp_path / 'mark'}")
    jobs = (PROJECT / "spark_jobs").glob("*.py")
    written = [re.findall(r'\.writing\("(.+?)"', job.read_text()) for job in jobs]
    assert set().union(*written) == IN_WRITES < set(POINTS)


def is_running(pid):
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_reaching_the_point_is_a_kill_that_nothing_survives(tmp_path):
    code = (
        "import atexit, sys, subprocess\n"
        "from spark_jobs.crash import CrashPoints\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "print(child.pid, flush=True)\n"
        "atexit.register(print, 'survived')\n"
        "try:\n    CrashPoints.of('tiles.in_worker').reach('tiles.in_worker')\n"
        "finally:\n    print('survived', flush=True)\n"
    )
    victim = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    said, _ = victim.communicate(timeout=30)
    assert victim.returncode == -signal.SIGKILL
    pid, _, rest = said.partition("\n")
    assert rest == ""
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline, "its child outlived it"


def test_who_waits_at_a_point_is_met_by_the_kill_of_another(tmp_path):
    code = (
        "import sys, threading, time\nfrom pathlib import Path\n"
        "from spark_jobs.crash import CrashPoints\n"
        "mark = Path(sys.argv[1])\n"
        "def wait():\n"
        "    CrashPoints.of(f'tiles.in_worker@{mark}').reach('tiles.in_worker')\n"
        "    mark.with_name('went_on').touch()\n"
        "threading.Thread(target=wait).start()\n"
        "while not mark.exists():\n    time.sleep(0.01)\n"
        "CrashPoints.of('tiles.after_replace').reach('tiles.after_replace')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "waits")]
    done = subprocess.run(command, cwd=PROJECT, start_new_session=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["waits"]


def test_who_waits_ends_with_the_process_that_began_it(tmp_path):
    code = (
        "import os, sys, time\nfrom pathlib import Path\n"
        "from spark_jobs.crash import CrashPoints\n"
        "points, mark = CrashPoints.of(f'tiles.in_worker@{sys.argv[1]}'), Path(sys.argv[1])\n"
        "if os.fork() == 0:\n    points.reach('tiles.in_worker')\n"
        "while not mark.exists():\n    time.sleep(0.01)\n"
        "os._exit(0)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "waits")]
    # Its output is a pipe that ends with the last of its processes.
    subprocess.run(command, cwd=PROJECT, capture_output=True, timeout=60, check=True)


def test_a_write_is_cut_when_its_first_file_appears(tmp_path):
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from spark_jobs.crash import CrashPoints\n"
        "folder = Path(sys.argv[1])\n"
        "(folder / 'old.parquet').touch()\n"
        "with CrashPoints.of('tiles.in_replace').writing('tiles.in_replace', folder):\n"
        "    time.sleep(0.05)\n    (folder / 'new.parquet').touch()\n"
        "    time.sleep(20)\n    (folder / 'commit.json').touch()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=PROJECT, start_new_session=True, timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
    assert {path.name for path in tmp_path.iterdir()} == {"new.parquet", "old.parquet"}
