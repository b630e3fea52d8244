"""One Spark session for all tests of a process: a JVM takes longer to start than they run."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from payments import NOW_MS

from core.contracts import Source
from core.errors import ConfigurationError
from spark_jobs.jars import class_path
from stores.layout import Layout

if TYPE_CHECKING:
    from spark_jobs import ingest


def session_or_skip() -> Any:
    """The process's session; skips where Java or the jars are missing."""
    if shutil.which("java") is None:
        pytest.skip("no Java: Spark cannot start")
    try:
        class_path()
    except ConfigurationError as error:
        pytest.skip(str(error))
    from spark_jobs.session import spark_session

    return spark_session(scratch=Path(tempfile.gettempdir()) / "throughline-tests")


def ingested(
    spark: Any, layout: Layout, source: Source, to_epoch: int, **changes: Any
) -> ingest.Report:
    """Report of ingest of a source's log up to an epoch."""
    from spark_jobs import ingest

    arguments = ingest.Arguments(
        root=str(layout.root), now_ms=NOW_MS, source=source, to_epoch=to_epoch
    )
    return ingest.run(spark, arguments.model_copy(update=changes))
