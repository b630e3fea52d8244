"""Peers, each as its own users would run it, in an environment of its own where needed."""

from __future__ import annotations

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
        subprocess.run([uv, "venv", "--clear", *quietly, sys.executable, str(folder)], check=True)
        subprocess.run([uv, "pip", "install", *quietly, str(python), *packages], check=True)
        marker.write_text(wanted)
    return python
