from __future__ import annotations

import pytest
from shared_spark import session_or_skip

from spark_jobs.jars import archive
from spark_jobs.warm import record_archive


@pytest.fixture(scope="session")
def spark(request):
    session = session_or_skip()
    # Thirty victims each start a JVM: recording its classes once pays for itself. Where workers
    # share a run, whoever hands out the tests may be recording them already.
    if not hasattr(request.config, "workerinput") and not archive().is_file():
        record_archive(archive())
    return session
