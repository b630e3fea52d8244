"""Batch work on Spark and Delta: one file a job, each the same by hand, in process, by Pipes."""
