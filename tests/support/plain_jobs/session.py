from __future__ import annotations


def spark_session(profile: object, *, scratch: object, cores: object, memory: object) -> None:
    """No session at all: the jobs here need none."""
