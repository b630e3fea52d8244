"""ONNX Runtime as a ``ModelRunner``, on the CPU or a GPU."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import IntegrityError
from core.ports import ModelRunner
from serving.models.devices import (
    Device,
    PlacedNode,
    check_available,
    check_got,
    check_placed,
    provider_of,
    read_placement,
)
from stores.onnx_sessions import CPU, onnx_session, providers_here
from stores.shelf.bundle import MODEL_INPUT, MODEL_OUTPUT, refuse_external_data

# A GPU's shorter floats would move scores in the fourth digit: parity is worth more than speed.
_OPTIONS: dict[Device, dict[str, str]] = {
    "cpu": {},
    "cuda": {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"},
}


class OnnxSession:
    """A model in memory, on the CPU or a GPU. Parallel load is served by workers.

    Parameters
    ----------
    model
        The ONNX file's bytes, as verified.
    width
        Number of columns that the plan's vector has.
    device
        What it shall run on; looked after node by node, unless ``is_cpu_allowed``.
    is_cpu_allowed
        Whether parts, or all of it, may run on the CPU though a GPU was asked for.

    Raises
    ------
    IntegrityError
        If the bytes are no model, refer to data outside, or take another vector.
    DeviceError
        If it runs elsewhere than it was asked to.
    """

    def __init__(
        self, model: bytes, width: int, *, device: Device = "cpu", is_cpu_allowed: bool = False
    ) -> None:
        refuse_external_data(model)
        self._session = _session(model, device)
        self._check_shape(width)
        self._outputs = [MODEL_OUTPUT]
        if device != "cpu" and not is_cpu_allowed:
            check_got(device, self._session.get_providers())
            check_placed(device, placement_of(model, width, device))

    def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores, shape ``(n,)``, for vectors of shape ``(n, d)``; NaN is null."""
        (scores,) = self._session.run(self._outputs, {MODEL_INPUT: vectors})
        flat: NDArray[np.float32] = np.asarray(scores, dtype=np.float32).reshape(-1)
        return flat

    def _check_shape(self, width: int) -> None:
        inputs = {each.name: each for each in self._session.get_inputs()}
        outputs = {each.name for each in self._session.get_outputs()}
        fits = set(inputs) == {MODEL_INPUT} and MODEL_OUTPUT in outputs
        columns = inputs[MODEL_INPUT].shape[-1] if fits else None
        if not fits or (isinstance(columns, int) and columns != width):
            raise IntegrityError(
                "the model takes another input than its plan makes",
                found=f"inputs {sorted(inputs)} of {columns} columns, outputs {sorted(outputs)}",
                remedy=f"export one input {MODEL_INPUT!r} of {width} columns "
                f"and one output {MODEL_OUTPUT!r}",
                code="model_shape",
            )


class InOneProcess:
    """A model on a GPU: whoever is forked from the process that made it cannot use it."""

    def __init__(self, runner: ModelRunner) -> None:
        self._runner = runner
        self._maker = os.getpid()

    def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores, shape ``(n,)``; IntegrityError in a fork, where CUDA would hang or crash."""
        if os.getpid() != self._maker:
            raise IntegrityError(
                "a model on a GPU was asked after a fork",
                found="another process than the one that made it",
                remedy="load models in the workers and not before they are forked",
                code="forked_session",
            )
        return self._runner.score(vectors)


def runner_on(
    model: bytes, width: int, *, device: Device = "cpu", is_cpu_allowed: bool = False
) -> ModelRunner:
    """A model on a device; raises as `OnnxSession`."""
    session = OnnxSession(model, width, device=device, is_cpu_allowed=is_cpu_allowed)
    return session if device == "cpu" else InOneProcess(session)


def check_device(device: Device) -> None:
    """Return when this machine's ONNX Runtime knows the device; ConfigurationError else."""
    check_available(device, providers_here())


def placement_of(model: bytes, width: int, device: Device) -> list[PlacedNode]:
    """Where each node of a model runs, found by running it once."""
    with tempfile.TemporaryDirectory(prefix="throughline-placement-") as folder:
        session = _session(model, device, profile_to=str(Path(folder) / "profile"))
        session.run([MODEL_OUTPUT], {MODEL_INPUT: np.zeros((2, width), dtype=np.float32)})
        return read_placement(Path(session.end_profiling()).read_text())


def _session(model: bytes, device: Device, *, profile_to: str = "") -> Any:
    on_device = provider_of(device), _OPTIONS[device]
    providers = [on_device] if device == "cpu" else [on_device, (CPU, {})]
    try:
        return onnx_session(model, providers=providers, profile_to=profile_to)
    except Exception as error:  # its errors have no common class
        raise IntegrityError(
            "the model cannot be loaded",
            found=type(error).__name__,
            remedy="build the release again with the versions in uv.lock",
            code="model_unreadable",
        ) from error
