"""Challengers with a known fault, as real ONNX models on a line like that of the toy release.

Their faults show on amounts above ``FAULTY_ABOVE`` only: golden points, drawn below it, are
answered well, so a faulty challenger passes every check that comes before traffic.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
import onnx
from bundles import BIAS, WEIGHTS, bundle_files
from onnx import TensorProto, helper

from serving.models.runtime import OnnxSession
from stores.shelf.bundle import MODEL

Fault = Literal["none", "errors", "slow", "nan", "constant", "hang"]
FAULTY_ABOVE = 200.0
_FLOAT, _INT64 = TensorProto.FLOAT, TensorProto.INT64
_SIDE = 96


def challenger_files(fault: Fault, *, bias: float = BIAS) -> dict[str, bytes]:
    """Contents of a bundle whose model has a fault."""
    return {**bundle_files(bias=bias), MODEL: faulty_onnx(fault, bias=bias)}


def faulty_onnx(fault: Fault, *, bias: float = BIAS) -> bytes:
    """Bytes of a model: sigmoid of a line, null as zero, and the fault."""
    if fault == "slow":
        return _model(bias, *_burning(_rounds_of(50.0)))
    parts: dict[str, tuple[Sequence[Any], Sequence[Any]]] = {
        "none": ((), ()),
        "errors": _failing_at_one_in(20),
        "nan": _answering(float("nan")),
        "constant": _answering(0.02),
        "hang": _hanging(),
    }
    return _model(bias, *parts[fault])


def _model(bias: float, nodes: Sequence[Any], constants: Sequence[Any]) -> bytes:
    """The line's score under the name ``line_score``; ``nodes`` make ``score`` of it, if any."""
    first, last = ("line_score", "score") if nodes else ("score", "score")
    n = len(WEIGHTS)
    line = [
        helper.make_node("IsNaN", ["vector"], ["is_null"]),
        helper.make_node("Where", ["is_null", "zero", "vector"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["line"]),
        helper.make_node("Add", ["line", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], [first]),
        helper.make_node("Slice", ["filled", "from", "to", "columns"], ["amount"]),
        helper.make_node("Greater", ["amount", "faulty_above"], ["is_faulty"]),
    ]
    graph = helper.make_graph(
        [*line, *nodes],
        "faulty",
        [helper.make_tensor_value_info("vector", _FLOAT, [None, n])],
        [helper.make_tensor_value_info(last, _FLOAT, [None, 1])],
        [
            helper.make_tensor("weights", _FLOAT, [n, 1], list(WEIGHTS)),
            helper.make_tensor("bias", _FLOAT, [1], [bias]),
            helper.make_tensor("zero", _FLOAT, [1], [0.0]),
            helper.make_tensor("one", _FLOAT, [1], [1.0]),
            helper.make_tensor("faulty_above", _FLOAT, [1], [FAULTY_ABOVE]),
            helper.make_tensor("from", _INT64, [1], [0]),
            helper.make_tensor("to", _INT64, [1], [1]),
            helper.make_tensor("columns", _INT64, [1], [1]),
            *constants,
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _answering(value: float) -> tuple[Sequence[Any], Sequence[Any]]:
    nodes = [helper.make_node("Where", ["is_faulty", "value", "line_score"], ["score"])]
    return nodes, [helper.make_tensor("value", _FLOAT, [1], [value])]


def _failing_at_one_in(n: int) -> tuple[Sequence[Any], Sequence[Any]]:
    """Looks outside of a list, where the amount divides by ``n``: a mistake only some rows show."""
    nodes = [
        helper.make_node("Mod", ["amount", "n"], ["rest"], fmod=1),
        helper.make_node("Less", ["rest", "one"], ["is_one_in_n"]),
        helper.make_node("And", ["is_one_in_n", "is_faulty"], ["is_wrong"]),
        helper.make_node("Cast", ["is_wrong"], ["place"], to=_INT64),
        helper.make_node("Gather", ["zero", "place"], ["nothing"], axis=0),
        helper.make_node("Add", ["line_score", "nothing"], ["score"]),
    ]
    return nodes, [helper.make_tensor("n", _FLOAT, [1], [float(n)])]


def _burning(rounds: int) -> tuple[Sequence[Any], Sequence[Any]]:
    """Multiplies matrices to no end, so many times."""
    constants = [helper.make_tensor("rounds", _INT64, [], [rounds])]
    nodes = [
        helper.make_node("Identity", ["rounds"], ["trips"]),
        *_loop(),
        helper.make_node("Mul", ["burnt_sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["line_score", "nothing"], ["score"]),
    ]
    return nodes, [*constants, *_loop_constants()]


def _hanging() -> tuple[Sequence[Any], Sequence[Any]]:
    """Takes about for ever, for some rows."""
    nodes = [
        helper.make_node("Cast", ["is_faulty"], ["is_faulty_one"], to=_FLOAT),
        helper.make_node("ReduceMax", ["is_faulty_one"], ["is_any"], keepdims=0),
        helper.make_node("Mul", ["is_any", "for_ever"], ["trips_float"]),
        helper.make_node("Cast", ["trips_float"], ["trips"], to=_INT64),
        *_loop(),
        helper.make_node("Mul", ["burnt_sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["line_score", "nothing"], ["score"]),
    ]
    constants = [helper.make_tensor("for_ever", _FLOAT, [], [1e15])]
    return nodes, [*constants, *_loop_constants()]


def _loop() -> list[Any]:
    square = [_SIDE, _SIDE]
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["before", "turn"], ["after"]),
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("number", _INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", _FLOAT, square),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", _FLOAT, square),
        ],
    )
    return [
        helper.make_node("Loop", ["trips", "yes", "turn"], ["burnt"], body=body),
        helper.make_node("ReduceSum", ["burnt"], ["burnt_sum"], keepdims=0),
    ]


def _loop_constants() -> list[Any]:
    turned = np.roll(np.eye(_SIDE), 1, axis=0).astype(np.float32)
    return [
        helper.make_tensor("turn", _FLOAT, [_SIDE, _SIDE], turned.ravel().tolist()),
        helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
    ]


@cache
def _rounds_of(spent_ms: float) -> int:
    """Rounds that take so long on this machine at its best."""
    probe = 300
    score: Callable[..., Any] = OnnxSession(_model(BIAS, *_burning(probe)), len(WEIGHTS)).score
    row = np.zeros((1, len(WEIGHTS)), dtype=np.float32)
    score(row)
    times_ms = []
    for _ in range(5):
        start_s = time.perf_counter()
        score(row)
        times_ms.append((time.perf_counter() - start_s) * 1_000)
    return max(1, round(probe * spent_ms / min(times_ms)))
