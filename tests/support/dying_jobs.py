"""Jobs in one process that is killed while each stands at its crash point. Run as a program.

It takes files of arguments, each named after its job. All jobs but the last wait at their
points; the last one comes to its own and kills the process, its JVM, and with them all.
"""

from __future__ import annotations

import importlib
import sys
import threading
import time
from pathlib import Path
from typing import Any

from shared_spark import INTERPRETED

from spark_jobs.session import spark_session

CORES = 4  # a task that waits in a worker keeps its core
POLL_S = 0.02


def run(spark: Any, file: Path) -> None:
    """Run the job ``NAME`` with the arguments in a file ``NAME.json``."""
    module = importlib.import_module(f"spark_jobs.{file.stem}")
    module.run(spark, module.Arguments.model_validate_json(file.read_text()))


def run_to_point(spark: Any, file: Path) -> None:
    """Run a job aside until it waits at its point; its session shares no settings with others."""
    reached = mark_of(file)
    aside = threading.Thread(target=run, args=(spark.newSession(), file), daemon=True)
    aside.start()
    while not reached.exists():
        if not aside.is_alive():
            raise RuntimeError(f"{file} ended without coming to its point")
        time.sleep(POLL_S)


def mark_of(file: Path) -> Path:
    """What the job of a file of arguments leaves when it waits at its point."""
    return file.with_name("waits")


def main(files: list[str]) -> int:
    """Run them one after the other; does not return when the last one dies as it is to."""
    *waiting, last = map(Path, files)
    spark = spark_session(scratch=last.with_name("spark"), cores=CORES, settings=INTERPRETED)
    for file in waiting:
        run_to_point(spark, file)
    run(spark, last)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
