def spark_session(profile, *, scratch, cores, memory):
    """No session at all: the jobs here need none."""
