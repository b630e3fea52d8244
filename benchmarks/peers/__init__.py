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
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(python), *packages]
        subprocess.run(install, check=True)
        marker.write_text(wanted)
    return python
