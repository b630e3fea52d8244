"""One Spark session for all tests of a process: a JVM takes longer to start than they run."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from spark_jobs.jars import class_path


def session_or_skip():
    """The process's session; skips where Java or the jars are missing."""
    if shutil.which("java") is None:
        pytest.skip("no Java: Spark cannot start")
    try:
        class_path()
    except ConfigurationError as error:
        pytest.skip(str(error))
    from spark_jobs.session import spark_session

    return spark_session(scratch=Path(tempfile.gettempdir()) / "throughline-tests")
