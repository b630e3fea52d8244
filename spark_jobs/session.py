"""The one way a SparkSession is made, in two profiles.

``embedded`` is one machine that starts often: serial collector, first-tier compiler, few
shuffle partitions, a recorded class archive where there is one, everything on 127.0.0.1.
``cluster`` takes its master from the submission (or ``master``), keeps the second-tier
compiler and adaptive execution, and names the log store that makes commits to an S3-like
store safe. The session is UTC in both, and workers run the driver's Python.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark import SparkContext
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

from core.errors import ConfigurationError
from spark_jobs.jars import JARS, archive, class_path, java_command

Profile = Literal["embedded", "cluster"]
ARCHIVED = archive()
LOGGING = Path(__file__).with_name("log4j2.properties")

DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
MEANING = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.executorEnv.OMP_NUM_THREADS": "1",
}
EMBEDDED = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
    "spark.databricks.delta.snapshotPartitions": "2",
    # A vacuum lists folders in so many tasks; 10,000 of them take two minutes for ten folders.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
    "spark.shuffle.compress": "false",
    "spark.sql.adaptive.enabled": "false",
}
CLUSTER = {
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.adaptive.enabled": "true",
    "spark.delta.logStore.s3a.impl": "io.delta.storage.S3DynamoDBLogStore",
}


def jvm_options(scratch: Path, class_archive: Path | None, *, is_optimised: bool, more: str) -> str:
    """Options of the embedded driver's JVM.

    The first compiler tier halves the CPU of a start and slows a heavy job, which asks for
    ``is_optimised``.
    """
    options = ["-XX:+UseSerialGC", "-Xss4m", f"-Djava.io.tmpdir={scratch}"]
    options.append(f"-Dlog4j2.configurationFile={LOGGING.as_uri()}")
    if not is_optimised:
        options.append("-XX:TieredStopAtLevel=1")
    if class_archive is not None and class_archive.is_file():
        options += [f"-XX:SharedArchiveFile={class_archive}", "-Xshare:auto", "-Xlog:disable"]
    return " ".join([*options, more]).strip()


def spark_session(
    profile: Profile = "embedded",
    *,
    scratch: Path,
    jars: Path = JARS,
    cores: int = 2,
    memory: str = "2g",
    is_optimised: bool = False,
    class_archive: Path | None = ARCHIVED,
    jvm: str = "",
    settings: Mapping[str, str] | None = None,
) -> SparkSession:
    """The session of ``profile``; the process's own when there is one already.

    ``scratch`` takes shuffles and temporary files and must outlive the session. ``jvm`` are
    further options of the embedded JVM, ``settings`` are laid over the profile's.
    """
    chosen = DELTA | MEANING | (CLUSTER if profile == "cluster" else {})
    if profile == "embedded":
        scratch.mkdir(parents=True, exist_ok=True)
        options = jvm_options(scratch, class_archive, is_optimised=is_optimised, more=jvm)
        chosen |= EMBEDDED | {
            "spark.master": f"local[{cores}]",
            "spark.driver.memory": memory,
            "spark.driver.extraClassPath": class_path(jars),
            "spark.driver.extraJavaOptions": options,
            "spark.local.dir": str(scratch),
            "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        }
    builder = SparkSession.builder.appName("throughline")
    for key, value in (chosen | dict(settings or {})).items():
        builder = builder.config(key, value)
    with _java_is_needed():
        spark = builder.getOrCreate()
    spark.sparkContext.pythonExec = sys.executable
    return spark


@contextmanager
def _java_is_needed() -> Iterator[None]:
    """A JVM that did not start is a fault of the installation: no retry will mend it."""
    try:
        yield
    except PySparkRuntimeError as error:
        if error.getCondition() != "JAVA_GATEWAY_EXITED":
            raise
        raise ConfigurationError(
            "Spark's JVM did not start",
            found=f"a Java at {java_command()} that ended before it answered",
            remedy="see logs/runs.log below home; Java 17 or later, and its JAVA_HOME if set",
            code="no_jvm",
        ) from error


def end_session(*, within_s: float = 10.0) -> None:
    """End the process's session and wait until its JVM is gone; nothing where there is none.

    Without this the JVM ends by itself some seconds after us, when it sees that our end of
    its input is closed.
    """
    context = SparkContext._active_spark_context
    gateway = SparkContext._gateway
    if context is not None:
        with suppress(Py4JError, OSError), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a JVM that died before us
            context.stop()
    if gateway is None:
        return
    SparkContext._gateway = SparkContext._jvm = None
    gateway.shutdown()
    process = gateway.proc
    process.stdin.close()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
