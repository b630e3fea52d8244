"""What was asked for and what was got; on the CPU, with what sessions say of themselves."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
from bundles import logistic_onnx
from prometheus_client import generate_latest

from core.errors import ConfigurationError, IntegrityError
from serving.models.devices import (
    CUDA,
    PlacedNode,
    check_available,
    check_got,
    check_placed,
    read_placement,
)
from serving.models.runtime import InOneProcess, OnnxSession, check_device, placement_of, runner_on
from serving.telemetry.gpu_metrics import Gpus, GpuState, gpu_families
from serving.telemetry.home_metrics import Families
from stores.onnx_sessions import CPU


def test_a_build_without_cuda_refuses_it_and_says_what_to_install():
    check_available("cuda", [CUDA, CPU])
    check_available("cpu", [CPU])
    with pytest.raises(ConfigurationError, match="install the extra serving-gpu") as caught:
        check_available("cuda", [CPU])
    assert caught.value.code == "no_such_device"


def test_a_session_that_fell_back_whole_is_refused():
    check_got("cuda", [CUDA, CPU])
    check_got("cpu", [CPU])
    for got in ([CPU], [], [CPU, CUDA]):
        with pytest.raises(ConfigurationError, match="run on cuda and would not"):
            check_got("cuda", got)


def node(operator, provider, name=""):
    return PlacedNode(name or operator.lower(), operator, provider)


def test_a_model_of_which_a_part_fell_back_is_refused_with_what_did():
    check_placed("cuda", [node("Gemm", CUDA), node("Relu", CUDA), node("MemcpyToHost", CPU)])
    mixed = [node("Where", CUDA), node("TreeEnsembleRegressor", CPU), node("MemcpyToHost", CUDA)]
    with pytest.raises(ConfigurationError, match="trees have no CUDA kernel") as caught:
        check_placed("cuda", mixed)
    assert "1 TreeEnsembleRegressor on CPUExecutionProvider of 2 nodes" in str(caught.value)
    assert caught.value.code == "device_not_got"


def test_a_model_of_which_nothing_is_known_is_refused():
    with pytest.raises(ConfigurationError, match="no node that ran"):
        check_placed("cuda", [])
    with pytest.raises(ConfigurationError, match="no node that ran"):
        check_placed("cuda", [node("MemcpyToHost", CUDA)])


def test_placement_is_read_from_what_a_real_session_wrote():
    placed = placement_of(logistic_onnx(), 5, "cpu")
    assert {each.provider for each in placed} == {CPU}
    assert "MatMul" in {each.operator for each in placed} or len(placed) >= 2
    check_placed("cpu", placed)
    with pytest.raises(ConfigurationError, match=f"on {CPU} of {len(placed)} nodes"):
        check_placed("cuda", placed)


def test_placement_passes_over_what_is_no_kernel():
    facts = {"op_name": "Gemm", "provider": CUDA}
    ran = {"cat": "Node", "name": "gemm_1_kernel_time", "args": facts}
    events = [
        {"cat": "Session", "name": "model_run", "args": {}},
        {"cat": "Node", "name": "gemm_1_fence_before", "args": {"op_name": "Gemm"}},
        ran,
        ran,
    ]
    assert read_placement(json.dumps(events)) == [PlacedNode("gemm_1", "Gemm", CUDA)]


def test_a_session_on_the_cpu_asks_no_questions():
    check_device("cpu")
    row = np.zeros((1, 5), dtype=np.float32)
    assert isinstance(runner_on(logistic_onnx(), 5), OnnxSession)
    assert runner_on(logistic_onnx(), 5).score(row).shape == (1,)


def test_a_session_on_a_device_is_not_used_by_a_fork():
    session = InOneProcess(OnnxSession(logistic_onnx(), 5))
    row = np.zeros((1, 5), dtype=np.float32)
    session.score(row)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            session.score(row)
            code = b"it answered"
        except IntegrityError as error:
            code = error.code.encode()
        os.write(writing, code)
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"forked_session"
    os.close(reading)


class LostGpuError(Exception):
    """What NVIDIA's library raises of a GPU that does not answer."""


def memory_of(handle):
    if handle == 1:
        raise LostGpuError
    return SimpleNamespace(used=3 << 30, total=80 << 30)


NVML = SimpleNamespace(
    NVMLError=LostGpuError,
    nvmlInit=lambda: None,
    nvmlDeviceGetCount=lambda: 2,
    nvmlDeviceGetHandleByIndex=lambda index: index,
    nvmlDeviceGetMemoryInfo=memory_of,
    nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=42),
)


def test_memory_and_utilisation_of_gpus_are_metrics_by_the_conventions():
    states = Gpus(NVML).states()
    assert states == [GpuState("0", 3 << 30, 80 << 30, 0.42)]
    text = generate_latest(Families(gpu_families(states))).decode()
    assert 'throughline_gpu_memory_used_bytes{gpu="0"} 3.221225472e+09' in text
    assert 'throughline_gpu_utilisation_ratio{gpu="0"} 0.42' in text


def test_a_machine_without_the_library_has_no_gpu_to_tell_of():
    found = Gpus.found()
    assert found is None or all(state.memory_total_bytes > 0 for state in found.states())
