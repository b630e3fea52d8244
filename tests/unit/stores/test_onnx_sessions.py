from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bundles import logistic_onnx

from stores.onnx_sessions import onnx_session
from stores.shelf.bundle import MODEL_INPUT, MODEL_OUTPUT


def test_a_model_runs_on_one_thread_that_does_not_spin():
    options = onnx_session(logistic_onnx()).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_bytes_that_are_no_model_are_raised_and_nothing_is_said(capfd):
    with pytest.raises(Exception, match="protobuf"):
        onnx_session(b"no model")
    assert capfd.readouterr().err == ""


def test_a_profile_is_written_where_it_is_asked_for(tmp_path):
    session = onnx_session(logistic_onnx(), profile_to=str(tmp_path / "seen"))
    width = session.get_inputs()[0].shape[1]
    session.run([MODEL_OUTPUT], {MODEL_INPUT: np.zeros((1, width), np.float32)})
    path = Path(session.end_profiling())
    assert path.parent == tmp_path
    assert json.loads(path.read_text())
