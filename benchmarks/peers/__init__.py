"""Peers, each as its own users would run it, in an environment of its own where needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def environment_of(name: str, *packages: str) -> Path:
    """Python of the environment that holds ``packages``; made with uv on first use."""
    folder = PROJECT / ".tools" / "peers" / name
    python, marker = folder / "bin" / "python", folder / "packages.txt"
    wanted = "\n".join(packages)
    if not marker.exists() or marker.read_text() != wanted:
        uv = str(PROJECT / ".tools" / "bin" / "uv")
        quietly = ["--quiet", "--python"]
        # The machine's own certificates, as for our environment: infra/bootstrap.sh says why.
        trusting = {"UV_SYSTEM_CERTS": "1", **os.environ}
        subprocess.run([uv, "venv", "--clear", *quietly, sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", *quietly, str(python), *packages]
        subprocess.run(install, check=True, env=trusting)
        marker.write_text(wanted)
    return python
