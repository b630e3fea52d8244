"""The one Spark session of the benchmarks: the same for ours and for the peer."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

from spark_jobs.session import spark_session

PARTITIONS = 8
PROFILE = "Spark local[2], 6 GB driver, both compiler tiers"
SETTINGS = {"spark.sql.shuffle.partitions": str(PARTITIONS)}


@contextmanager
def bench_session() -> Iterator[SparkSession]:
    """Embedded profile, second compiler tier on, 6 GB of heap; its scratch goes with it."""
    with scratch_folder() as scratch:
        session = spark_session(
            "embedded", scratch=scratch, is_optimised=True, memory="6g", settings=SETTINGS
        )
        try:
            yield session
        finally:
            session.stop()


@contextmanager
def scratch_folder(near: Path | None = None) -> Iterator[Path]:
    """A folder that is removed, whatever the JVM still writes into it."""
    folder = Path(tempfile.mkdtemp(dir=near))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
