"""The service as a build of ONNX Runtime with CUDA runs it where there is no GPU: a program.

Such a build offers CUDA, and its sessions fall back to the CPU without a word.
"""

from __future__ import annotations

import runpy

from stores import onnx_sessions

CUDA = "CUDAExecutionProvider"

if __name__ == "__main__":
    onnx_sessions.providers_here = lambda: (CUDA, onnx_sessions.CPU)
    runpy.run_module("serving.main", run_name="__main__")
