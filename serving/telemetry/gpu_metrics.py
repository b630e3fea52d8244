"""Memory and utilisation of GPUs, by NVIDIA's management library where it is installed.

Read when somebody scrapes. They are of the machine and not of one worker.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily


class GpuState(NamedTuple):
    """One GPU: memory in bytes, and the share of the last second in which it computed."""

    gpu: str
    memory_used_bytes: int
    memory_total_bytes: int
    utilisation: float


class Gpus:
    """GPUs of this machine; none where the library or the driver is missing.

    Parameters
    ----------
    nvml
        The library, already imported; what ``import pynvml`` gives.
    """

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        nvml.nvmlInit()
        self._handles = [
            nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())
        ]

    @classmethod
    def found(cls) -> Gpus | None:
        """Those of this machine; None where nobody can tell."""
        try:
            import pynvml
        except ImportError:
            return None
        with suppress(pynvml.NVMLError):
            return cls(pynvml)
        return None

    def states(self) -> list[GpuState]:
        """What they do now; one that does not answer is left out."""
        found = []
        for index, handle in enumerate(self._handles):
            with suppress(self._nvml.NVMLError):
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
                rates = self._nvml.nvmlDeviceGetUtilizationRates(handle)
                found.append(GpuState(str(index), memory.used, memory.total, rates.gpu / 100.0))
        return found


def gpu_families(states: Iterable[GpuState]) -> list[Metric]:
    """Metric families of GPUs."""
    held = list(states)
    about = (
        ("memory_used_bytes", "Memory of a GPU that is in use, by whomever."),
        ("memory_total_bytes", "Memory that a GPU has."),
        ("utilisation_ratio", "Share of the last second in which a GPU computed."),
    )
    families: list[Metric] = []
    for place, (name, text) in enumerate(about, start=1):
        family = GaugeMetricFamily(f"throughline_gpu_{name}", text, labels=["gpu"])
        for state in held:
            family.add_metric([state.gpu], float(state[place]))
        families.append(family)
    return families
