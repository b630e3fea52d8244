"""What a job has computed and not yet published: Parquet aside, written whole, removed after."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession


def stage(frame: DataFrame, uri: str) -> DataFrame:
    """Write ``frame`` once and read it back, so that every later use sees the same rows."""
    frame.write.mode("overwrite").parquet(uri)
    return frame.sparkSession.read.schema(frame.schema).parquet(uri)


def discard(spark: SparkSession, uri: str) -> None:
    """Remove what was staged; nothing there is no fault."""
    path = spark._jvm.org.apache.hadoop.fs.Path(uri)
    system = path.getFileSystem(spark._jsc.hadoopConfiguration())
    is_recursive = True
    system.delete(path, is_recursive)
