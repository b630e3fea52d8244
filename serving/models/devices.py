"""Devices: what a model was asked to run on, and what it runs on.

ONNX Runtime falls back to the CPU without a word: where its CUDA libraries cannot be loaded, and
node by node where CUDA has no kernel, as for all trees. So both are looked at: what the session
got, and where each node ran when it was first asked.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from core.errors import ConfigurationError
from stores.onnx_sessions import CPU

Device = Literal["cpu", "cuda"]
CUDA = "CUDAExecutionProvider"
_PROVIDER: dict[Device, str] = {"cpu": CPU, "cuda": CUDA}
_KERNEL = "_kernel_time"
# Copies between the two, and what is about shapes, which CUDA leaves to the CPU on purpose.
_BESIDE = frozenset({"MemcpyToHost", "MemcpyFromHost", "Shape", "Size"})


class DeviceError(ConfigurationError):
    """A model would run elsewhere than it was asked to."""

    code = "device_not_got"


class PlacedNode(NamedTuple):
    """One node of a model: its name, operator, and the provider that ran it."""

    name: str
    operator: str
    provider: str


def provider_of(device: Device) -> str:
    """ONNX Runtime's name of what runs on a device."""
    return _PROVIDER[device]


def check_available(device: Device, available: Sequence[str]) -> None:
    """Return when this build of ONNX Runtime can use the device at all.

    Raises
    ------
    ConfigurationError
        If it cannot.
    """
    if provider_of(device) not in available:
        raise ConfigurationError(
            f"models cannot run on {device}",
            found=f"ONNX Runtime with {', '.join(available) or 'no provider'}",
            remedy="install the extra serving-gpu, or set THROUGHLINE_MODELS__DEVICE=cpu",
            code="no_such_device",
        )


def check_got(device: Device, got: Sequence[str]) -> None:
    """Return when a session got the provider it was asked to use, before all others.

    Raises
    ------
    DeviceError
        If it did not: its libraries could not be loaded, or there is no such device.
    """
    if not got or got[0] != provider_of(device):
        raise DeviceError(
            f"a model was asked to run on {device} and would not",
            found=f"a session on {', '.join(got) or 'nothing'}",
            remedy="see that driver, CUDA and cuDNN fit onnxruntime-gpu (nvidia-smi), or allow the "
            "CPU with THROUGHLINE_MODELS__IS_CPU_ALLOWED=true",
        )


def read_placement(profile: str) -> list[PlacedNode]:
    """Nodes that ran, by a profile that a session wrote.

    Examples
    --------
    >>> event = {"cat": "Node", "name": "gemm_1_kernel_time",
    ...          "args": {"op_name": "Gemm", "provider": "CUDAExecutionProvider"}}
    >>> read_placement(json.dumps([event, {"cat": "Session", "name": "model_run"}]))
    [PlacedNode(name='gemm_1', operator='Gemm', provider='CUDAExecutionProvider')]
    """
    found = {}
    for event in json.loads(profile):
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith(_KERNEL):
            facts = event["args"]
            placed = PlacedNode(name.removesuffix(_KERNEL), facts["op_name"], facts["provider"])
            found[placed.name] = placed
    return list(found.values())


def check_placed(device: Device, nodes: Iterable[PlacedNode]) -> None:
    """Return when every node that computes ran on the device.

    Raises
    ------
    DeviceError
        If some did not, or none is known to have run.
    """
    placed = [node for node in nodes if node.operator not in _BESIDE]
    elsewhere = [node for node in placed if node.provider != provider_of(device)]
    if placed and not elsewhere:
        return
    counts = Counter(f"{node.operator} on {node.provider}" for node in elsewhere)
    spelled = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    raise DeviceError(
        f"a model was asked to run on {device} and parts of it would not",
        found=f"{spelled} of {len(placed)} nodes" if placed else "no node that ran",
        remedy="trees have no CUDA kernel: serve them on the CPU, or train the mlp; or allow the "
        "CPU with THROUGHLINE_MODELS__IS_CPU_ALLOWED=true",
    )
