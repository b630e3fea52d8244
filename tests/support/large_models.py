"""Bundles with models that are large, or that hang, for tests of how releases come into memory."""

from __future__ import annotations

import numpy as np
import onnx
from bundles import BIAS, WEIGHTS, bundle_files, logistic_onnx
from onnx import TensorProto, helper, numpy_helper

from stores.shelf.bundle import MODEL

SLOW_TURNS = 5_000
"""Of a loop: more than the 2 ms from which on a model leaves the service's loop."""


def files_of(model: bytes) -> dict[str, bytes]:
    """A toy bundle with another model: one that scores alike, or never."""
    return {**bundle_files(), MODEL: model}


def large_model(n_bytes: int) -> bytes:
    """The toy's model with a product beside it that changes nothing and takes so much memory."""
    model = onnx.load_from_string(logistic_onnx(WEIGHTS, BIAS))
    width, side = len(WEIGHTS), max(8, int((n_bytes / 4) ** 0.5))
    weights = np.random.default_rng(1).random((side, side), dtype=np.float32)
    graph = model.graph
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.zeros((width, side), dtype=np.float32), "in"),
            numpy_helper.from_array(weights, "large"),
            numpy_helper.from_array(np.zeros((side, 1), dtype=np.float32), "out"),
        ]
    )
    logit = next(node for node in graph.node if node.op_type == "Sigmoid").input[0]
    nodes = [
        helper.make_node("MatMul", ["filled", "in"], ["wide"]),
        helper.make_node("MatMul", ["wide", "large"], ["wider"]),
        helper.make_node("MatMul", ["wider", "out"], ["nothing"]),
        helper.make_node("Add", [logit, "nothing"], ["logit_again"]),
    ]
    at = next(i for i, node in enumerate(graph.node) if node.op_type == "Sigmoid")
    graph.node[at].input[0] = "logit_again"
    for offset, node in enumerate(nodes):
        graph.node.insert(at + offset, node)
    return bytes(model.SerializeToString())


def hanging_model() -> bytes:
    """A model of the right shape that counts to 2**62 before it answers."""
    n = len(WEIGHTS)
    body = _counting(1.0)
    constants = [
        helper.make_tensor("turns", TensorProto.INT64, [], [2**62]),
        helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        helper.make_tensor("weights", TensorProto.FLOAT, [n, 1], list(WEIGHTS)),
    ]
    nodes = [
        helper.make_node("MatMul", ["vector", "weights"], ["line"]),
        helper.make_node("Loop", ["turns", "yes", "line"], ["score"], body=body),
    ]
    graph = helper.make_graph(
        nodes,
        "hanging",
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [None, n])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])],
        constants,
    )
    return _bytes_of(graph)


def hanging_above(limit: float) -> bytes:
    """The toy's model, slow, and for ever busy with a vector that holds a number above a limit."""
    model = onnx.load_from_string(logistic_onnx(WEIGHTS, BIAS))
    graph = model.graph
    graph.initializer.extend(
        [
            helper.make_tensor("limit", TensorProto.FLOAT, [], [limit]),
            helper.make_tensor("many", TensorProto.INT64, [], [2**62]),
            helper.make_tensor("some", TensorProto.INT64, [], [SLOW_TURNS]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        ]
    )
    graph.node[-1].output[0] = "of_line"
    graph.node.extend(
        [
            helper.make_node("ReduceMax", ["filled"], ["largest"], keepdims=0),
            helper.make_node("Greater", ["largest", "limit"], ["is_above"]),
            helper.make_node("Where", ["is_above", "many", "some"], ["turns"]),
            helper.make_node("Loop", ["turns", "yes", "of_line"], ["score"], body=_counting(0.0)),
        ]
    )
    return bytes(model.SerializeToString())


def _counting(step: float) -> onnx.GraphProto:
    """A loop's body that adds so much with each turn."""
    return helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
            helper.make_node("Add", ["carried", "step"], ["carries"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carries", TensorProto.FLOAT, None),
        ],
        [helper.make_tensor("step", TensorProto.FLOAT, [1], [step])],
    )


def _bytes_of(graph: onnx.GraphProto) -> bytes:
    opsets = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
