from __future__ import annotations

import pytest
from shared_spark import session_or_skip

from spark_jobs.jars import archive
from spark_jobs.warm import record_archive


@pytest.fixture(scope="session")
def spark():
    session = session_or_skip()
    # Twenty victims each start a JVM: recording its classes once pays for itself.
    if not archive().is_file():
        record_archive(archive())
    return session
