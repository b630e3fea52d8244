"""The kernel compiled once, by a process of its own, while several import their tests.

Cold, each of them would compile it for itself, for want of the others' result on the disk.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
N_WORLDS = 30  # together their plans ask for every function of every kind of column


def is_compiled() -> bool:
    """Whether each file of compiled loops has machine code that is younger than it."""
    return all(
        any(
            index.stat().st_mtime >= source.stat().st_mtime
            for index in source.parent.glob(f"__pycache__/{source.stem}.*.nbi")
        )
        for source in (ROOT / "core/features").glob("kernel_*.py")
        if "@compiled" in source.read_text()
    )


class Compiling:
    """A process that compiles; the file ``lock`` is locked for as long as it runs."""

    def __init__(self) -> None:
        handle, path = tempfile.mkstemp(prefix="kernel-", suffix=".lock")
        self.lock = Path(path)
        fcntl.flock(handle, fcntl.LOCK_EX)
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/support'}"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[handle],  # the lock is the child's too, and ends with it
        )
        os.close(handle)

    def end(self) -> None:
        """End the process if it still runs, and take the file away."""
        self._process.kill()
        self._process.wait()
        self.lock.unlink()


def wait_until_compiled(lock: str) -> None:
    """Return when the process that holds the lock has ended, however it did."""
    with Path(lock).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)


def compile_all() -> None:
    """Have every compiled loop called with every type that a plan can give it."""
    import worlds
    from world_arrays import to_arrays

    from core.features.kernel import view_values

    for world in worlds.worlds(20_260_101, N_WORLDS):
        view_values(world.view, *to_arrays(world))


if __name__ == "__main__":
    compile_all()
