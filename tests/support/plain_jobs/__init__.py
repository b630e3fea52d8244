"""Jobs as `spark_jobs` has them, without Spark: to test how jobs are launched."""
