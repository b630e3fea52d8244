"""A model that hangs: it scores like another until it is asked for something."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from stores.shelf.bundle import MODEL_INPUT, MODEL_OUTPUT


def hanging_model(model: bytes, column: int) -> bytes:
    """The model, but any row whose value in ``column`` is above zero keeps it for ever."""
    parsed = onnx.load_from_string(model)
    graph = parsed.graph
    for node in graph.node:
        node.output[:] = ["whole" if name == MODEL_OUTPUT else name for name in node.output]
    graph.initializer.extend(
        [
            helper.make_tensor("no_value", TensorProto.FLOAT, [1], [0.0]),
            helper.make_tensor("for_ever", TensorProto.FLOAT, [], [1e15]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
            helper.make_tensor("from_column", TensorProto.INT64, [1], [column]),
            helper.make_tensor("to_column", TensorProto.INT64, [1], [column + 1]),
            helper.make_tensor("columns", TensorProto.INT64, [1], [1]),
        ]
    )
    graph.node.extend(
        [
            helper.make_node(
                "Slice", [MODEL_INPUT, "from_column", "to_column", "columns"], ["asked"]
            ),
            helper.make_node("Greater", ["asked", "no_value"], ["is_above"]),
            helper.make_node("Cast", ["is_above"], ["above"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMax", ["above"], ["any_above"], keepdims=0),
            helper.make_node("Mul", ["any_above", "for_ever"], ["rounds"]),
            helper.make_node("Cast", ["rounds"], ["trips"], to=TensorProto.INT64),
            helper.make_node("Loop", ["trips", "yes", "no_value"], ["turned"], body=_turn()),
            helper.make_node("Add", ["whole", "turned"], [MODEL_OUTPUT]),
        ]
    )
    onnx.checker.check_model(parsed)
    return bytes(parsed.SerializeToString())


def _turn() -> onnx.GraphProto:
    """One round of nothing."""
    return helper.make_graph(
        [
            helper.make_node("Identity", ["before"], ["after"]),
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, [1]),
        ],
    )
