from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
from pathlib import Path
from zipfile import ZipFile
from core.errors import ConfigurationError
from spark_jobs.jars import DELTA
from spark_jobs.session import spark_session
folder = Path(sys.argv[1])
for jar in DELTA:
    ZipFile(folder / jar.filename, "w").close()
try:
    spark_session(scratch=folder / "scratch", jars=folder, class_archive=None)
except ConfigurationError as error:
    print(error)
"""


def test_a_jvm_that_does_not_start_is_a_fault_of_the_installation_said_in_words(tmp_path):
    """It was retried for two minutes, since no error of ours said that waiting is no use."""
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\nexit 3\n")
    java.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    environment |= {"PATH": f"{tmp_path}:{environment['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert "JVM did not start" in done.stdout
    assert str(java) in done.stdout
