"""The classes of Spark recorded once, by a process of its own, while tests begin.

Every JVM of the run that starts afterwards maps them instead of reading them from their jars;
those that start before go without.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from core.errors import ConfigurationError
from spark_jobs.jars import archive, class_path

ROOT = Path(__file__).parents[2]


def can_be_recorded() -> bool:
    """Whether there is Java and there are jars, and no archive of them."""
    try:
        class_path()
    except ConfigurationError:
        return False
    return shutil.which("java") is not None and not archive().is_file()


class Recording:
    """A process that records the class archive."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "spark_jobs.warm"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self) -> None:
        """End it and its JVM, if they still run."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
