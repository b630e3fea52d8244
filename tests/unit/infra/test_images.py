"""Images without a builder at hand: what they copy is there, what they start is there."""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from infra.kubernetes import manifests
from infra.settings import ClusterSettings

ROOT = Path(__file__).parents[3]
IMAGES = sorted((ROOT / "infra" / "docker").glob("*.Dockerfile"))
SERVING, ORCHESTRATION = (
    (ROOT / "infra" / "docker" / f"{name}.Dockerfile").read_text()
    for name in ("serving", "orchestration")
)
SETTINGS = ClusterSettings(has_gpu=True)


def copied(text: str) -> list[str]:
    """What an image takes from the repository."""
    lines = [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("COPY ")]
    return [name for *names, _ in lines if not names[0].startswith("--from") for name in names]


def test_there_is_an_image_of_each_side():
    assert [path.stem for path in IMAGES] == ["orchestration", "serving"]


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_what_an_image_copies_is_there(path):
    assert [name for name in copied(path.read_text()) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_an_image_does_not_run_as_root(path):
    users = re.findall(r"^USER (\S+)$", path.read_text(), re.MULTILINE)
    assert users
    assert int(users[-1]) > 0


def test_a_copy_of_everything_leaves_state_keys_and_environments_behind():
    """`COPY . .` laid this machine's environment over the one that the image had installed."""
    assert "." in copied(ORCHESTRATION)
    ignored = set((ROOT / ".dockerignore").read_text().split())
    kept_from_git = (ROOT / ".gitignore").read_text().split()
    apart = {"__pycache__/", "*.pyc", "*.egg-info/"}  # ignored in every folder, or harmless
    assert {name.rstrip("/") for name in set(kept_from_git) - apart} <= ignored
    assert {".git", ".env", "**/__pycache__"} <= ignored


CUDA_OF = {"1.31.1": "13"}
"""CUDA's major version that a release of onnxruntime-gpu was built for, as its wheel says
(``onnxruntime.cuda_version``)."""


def test_the_image_with_cuda_has_the_one_that_the_locked_runtime_was_built_for():
    """Of another major version no library is found, and all would run on the CPU."""
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    (version,) = [each["version"] for each in locked if each["name"] == "onnxruntime-gpu"]
    (major,) = re.findall(r"BASE=nvidia/cuda:(\d+)\.\S+-cudnn-runtime", SERVING)
    assert major == CUDA_OF[version]


def test_a_python_that_uv_installs_is_not_in_the_home_of_root():
    place = SERVING.index("ENV UV_PYTHON_INSTALL_DIR=/opt/")
    assert place < SERVING.index("RUN uv sync")


def test_the_extras_of_the_images_are_declared():
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = set(document["project"]["optional-dependencies"])
    asked = set(re.findall(r"--extra (\w+)|EXTRA=([\w-]+)", SERVING + ORCHESTRATION))
    names = {name for pair in asked for name in pair if name}
    asked_for = {"serving", "serving-gpu", "explainer", "console", "kafka", "orchestration"}
    assert asked_for == names <= declared


def started() -> set[tuple[str, str]]:
    """Images of the cluster with the modules that they start."""
    found = set()
    for manifest in manifests(SETTINGS):
        if manifest["kind"] != "Deployment":
            continue
        for container in manifest["spec"]["template"]["spec"]["containers"]:
            words = container["command"]
            if "-m" in words:
                found.add((container["image"], words[words.index("-m") + 1]))
    return found


def test_what_the_cluster_starts_is_in_the_image_that_it_starts():
    modules = started()
    assert len(modules) >= 4
    for image, module in modules:
        assert find_spec(module), module
        if image != SETTINGS.orchestration_image:
            assert module.partition(".")[0] in copied(SERVING)
