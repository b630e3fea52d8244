"""ONNX Runtime, set up alike wherever a model runs: training, Spark's workers, the service.

One thread, for a row takes microseconds and whoever wants more runs more processes; threads that
spin would take the cores from the rest. Nothing is reported to anybody, nothing is read but the
bytes given, and nothing is said on standard error: what is wrong is raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CPU = "CPUExecutionProvider"
Provider = tuple[str, Mapping[str, str]]
"""Where a model runs, as ONNX Runtime calls it, and the options of that."""
_FATAL = 4  # its log level: it warns about models on standard error otherwise


def onnx_session(
    model: bytes, *, providers: Sequence[Provider] = ((CPU, {}),), profile_to: str = ""
) -> Any:
    """A model in memory, as an ``onnxruntime.InferenceSession``.

    Parameters
    ----------
    model
        The ONNX file's bytes.
    providers
        Where it shall run, the first that can; on the CPU unless told otherwise.
    profile_to
        Beginning of the name of a file for a profile; none is written without.

    Raises
    ------
    Exception
        What ONNX Runtime raises where the bytes are no model; its errors have no common class.

    Examples
    --------
    >>> onnx_session(b"no model")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
        ...
    InvalidProtobuf: it cannot be parsed
    """
    import onnxruntime  # starts a thread of its own, so not before a worker was forked

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile_to:
        options.enable_profiling = True
        options.profile_file_prefix = profile_to
    return onnxruntime.InferenceSession(
        model, options, providers=[(name, dict(given)) for name, given in providers]
    )


def providers_here() -> Sequence[str]:
    """What this machine's build of ONNX Runtime could run a model on.

    Examples
    --------
    >>> CPU in providers_here()
    True
    """
    import onnxruntime

    names: Sequence[str] = onnxruntime.get_available_providers()
    return names
