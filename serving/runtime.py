"""ONNX Runtime as a ``ModelRunner``: one thread, CPU, nothing read but the bytes given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.errors import IntegrityError
from stores.bundle import MODEL_INPUT, MODEL_OUTPUT, refuse_external_data

_FATAL = 4  # ONNX Runtime's log level: it warns about models on standard error otherwise


class OnnxSession:
    """A model in memory.

    One thread: a row takes microseconds, and threads that spin would take the cores from
    the loop. Parallel load is served by workers.

    Parameters
    ----------
    model
        The ONNX file's bytes, as verified.
    width
        Number of columns that the plan's vector has.

    Raises
    ------
    IntegrityError
        If the bytes are no model, refer to data outside, or take another vector.
    """

    def __init__(self, model: bytes, width: int) -> None:
        import onnxruntime  # starts a thread of its own, so not before a worker was forked

        onnxruntime.disable_telemetry_events()
        refuse_external_data(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = _FATAL
        options.add_session_config_entry("session.load_model_format", "ONNX")
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors have no common class
            raise IntegrityError(
                "the model cannot be loaded",
                found=type(error).__name__,
                remedy="build the release again with the versions in uv.lock",
                code="model_unreadable",
            ) from error
        self._check_shape(width)
        self._outputs = [MODEL_OUTPUT]

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
