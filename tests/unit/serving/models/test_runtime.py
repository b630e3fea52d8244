import numpy as np
import onnx
import pytest
from bundles import BIAS, WEIGHTS, expected_score, logistic_onnx
from onnx import TensorProto, helper

from core.errors import IntegrityError
from serving.models.runtime import OnnxSession


def test_scores_are_those_of_the_model_null_included():
    rows = [[1.0, 2.0, 3.0, 4.0, 5.0], [np.nan, 0.0, np.nan, 1.0, np.nan]]
    scores = OnnxSession(logistic_onnx(), 5).score(np.array(rows, dtype=np.float32))
    expected = [expected_score([None if np.isnan(v) else v for v in row]) for row in rows]
    assert scores.dtype == np.float32
    assert scores.shape == (2,)
    np.testing.assert_allclose(scores, expected, atol=1e-7)


def test_nothing_in_is_nothing_out():
    empty = np.empty((0, 5), dtype=np.float32)
    assert OnnxSession(logistic_onnx(), 5).score(empty).shape == (0,)


@pytest.mark.parametrize("model", [b"", b"no model", b"\x08\x09" * 50, logistic_onnx()[:-30]])
def test_bytes_that_are_no_model_are_refused(model):
    with pytest.raises(IntegrityError):
        OnnxSession(model, 5)


def test_a_model_of_another_width_is_refused():
    with pytest.raises(IntegrityError) as refused:
        OnnxSession(logistic_onnx(), 6)
    assert refused.value.code == "model_shape"


def test_a_model_with_other_names_is_refused():
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    with pytest.raises(IntegrityError) as refused:
        OnnxSession(model.SerializeToString(), 1)
    assert refused.value.code == "model_shape"


def test_a_model_that_reads_other_files_is_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(np.array(WEIGHTS, dtype=np.float32).tobytes())
    model = onnx.load_from_string(logistic_onnx(bias=BIAS))
    weights = next(t for t in model.graph.initializer if t.name == "weights")
    weights.ClearField("float_data")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=str(secret))
    with pytest.raises(IntegrityError) as refused:
        OnnxSession(model.SerializeToString(), 5)
    assert refused.value.code == "external_data"
