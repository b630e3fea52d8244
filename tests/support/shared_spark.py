"""One Spark session at a time for the tests of a process: a JVM takes longer to start than they."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
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

INTERPRETED = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
}
_running: dict[str, str] = {}


def session_or_skip() -> Any:
    """The process's session, as in production; skips where Java or the jars are missing."""
    return _session({})


def interpreting() -> Any:
    """The process's session that compiles no query: that costs more than to run it on few rows.

    Commands in `tests/e2e` compile as in production, in this process and in those of their own.
    """
    return _session(INTERPRETED)


def skip_without_spark() -> None:
    """Skip where Java or the jars are missing; starts nothing."""
    if shutil.which("java") is None:
        pytest.skip("no Java: Spark cannot start")
    try:
        class_path()
    except ConfigurationError as error:
        pytest.skip(str(error))


def _session(settings: Mapping[str, str]) -> Any:
    skip_without_spark()
    from spark_jobs.session import end_session, spark_session

    if _running != settings:
        end_session()
        _running.clear()
        _running.update(settings)
    scratch = Path(tempfile.gettempdir()) / "throughline-tests"
    return spark_session(scratch=scratch, settings=settings)


def ingested(
    spark: Any, layout: Layout, source: Source, to_epoch: int, **changes: Any
) -> ingest.Report:
    """Report of ingest of a source's log up to an epoch."""
    from spark_jobs import ingest

    arguments = ingest.Arguments(
        root=str(layout.root), now_ms=NOW_MS, source=source, to_epoch=to_epoch
    )
    return ingest.run(spark, arguments.model_copy(update=changes))
