"""A small builder of ONNX graphs: nodes and float32 constants in order, one checked model.

The graphs are written by hand rather than converted: what runs is then exactly what is
read here, and every operator outside the trees also has a CUDA kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stores.shelf.bundle import MODEL_INPUT, MODEL_OUTPUT, refuse_external_data

OPSET = 18
ML_OPSET = 3
IR_VERSION = 10
ML_DOMAIN = "ai.onnx.ml"


class GraphBuilder:
    """Collects nodes; names outputs by operator and number."""

    def __init__(self, n_features: int) -> None:
        self.n_features = n_features
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, value: NDArray[np.floating] | float) -> str:
        """Float32 constant; its name."""
        name = f"constant_{len(self._constants)}"
        array = np.asarray(value, dtype=np.float32)
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Node with one output; the output's name."""
        return self._add(
            operator, inputs, f"{operator.lower()}_{len(self._nodes)}", domain, attributes
        )

    def finish(self, scores: str) -> bytes:
        """Model with one float32 input ``(n, d)`` and one float32 output ``(n, 1)``.

        Raises
        ------
        onnx.checker.ValidationError
            If the graph is not well formed.
        """
        self._add("Identity", (scores,), MODEL_OUTPUT, "", {})
        shape_in, shape_out = ["n", self.n_features], ["n", 1]
        graph = helper.make_graph(
            self._nodes,
            "throughline",
            [helper.make_tensor_value_info(MODEL_INPUT, TensorProto.FLOAT, shape_in)],
            [helper.make_tensor_value_info(MODEL_OUTPUT, TensorProto.FLOAT, shape_out)],
            initializer=self._constants,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="throughline"
        )
        onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        refuse_external_data(content)
        return content

    def _add(
        self,
        operator: str,
        inputs: tuple[str, ...],
        output: str,
        domain: str,
        attributes: dict[str, Any],
    ) -> str:
        node = helper.make_node(operator, list(inputs), [output], domain=domain, **attributes)
        self._nodes.append(node)
        return output


def add_standard(
    graph: GraphBuilder, vector: str, fill: Any, centre: Any, scale: Any, clip: float
) -> str:
    """Nodes of ``clip((fill_nulls(vector) - centre) / scale)``; the output's name."""
    filled = graph.add("Where", graph.add("IsNaN", vector), graph.constant(fill), vector)
    centred = graph.add("Sub", filled, graph.constant(centre))
    scaled = graph.add("Div", centred, graph.constant(scale))
    return graph.add("Clip", scaled, graph.constant(-clip), graph.constant(clip))
