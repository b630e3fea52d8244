"""A real PostgreSQL server for tests: a cluster of its own in a folder, on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from orchestration.processes import free_port

START_WITHIN_S = 120


def binaries() -> Path:
    """Folder of the server's programs, newest version; skips the test where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    return Path(on_path).parent


@contextmanager
def postgres_server(directory: Path) -> Iterator[str]:
    """URL of a running server. It refuses to run as root, so then it runs as ``postgres``."""
    folder, port, temporary = binaries(), free_port(), Path(tempfile.gettempdir())
    account = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    user = None if account is None else account.pw_name
    data = directory / "data"
    if account is not None:
        held = [path for path in directory.parents if temporary in path.parents]
        for path in (directory, *held):
            if path.stat().st_uid == 0:
                path.chmod(path.stat().st_mode | 0o055)
        os.chown(directory, account.pw_uid, account.pw_gid)
    initialise: list[str | Path] = [folder / "initdb", "-D", data, "-U", "tests"]
    initialise += ["--auth=trust", "--no-sync"]
    subprocess.run(initialise, user=user, check=True, capture_output=True, cwd="/")
    options: list[str | Path] = ["-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
    options += ["-c", f"unix_socket_directories={directory}", "-c", "fsync=off"]
    process = subprocess.Popen(
        [folder / "postgres", *options],
        user=user,
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"postgresql://tests@127.0.0.1:{port}/postgres"
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            assert process.poll() is None, "postgres ended while it started"
            assert time.monotonic() < deadline, f"postgres did not answer in {START_WITHIN_S} s"
            time.sleep(0.05)
        else:
            return
