from spark_jobs.job import arguments_of

__all__ = ["arguments_of"]
