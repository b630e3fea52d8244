"""The bodies of the Open Inference Protocol over REST: JSON, or JSON with tensors behind it.

With the header ``Inference-Header-Content-Length`` the body begins with so many bytes of JSON;
behind it stand, one after the other, the inputs that have a ``binary_data_size``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Struct
from numpy.typing import NDArray

from serving.engine.tensors import MAX_ID, SCORE_TYPE, Tensor, check_output, fault, tensor
from serving.ports import Json
from serving.transport.body import strict_json
from stores.shelf.bundle import MODEL_OUTPUT

HEADER_LENGTH = "Inference-Header-Content-Length"
_SIZE = "binary_data_size"
_INTEGERS: frozenset[type] = frozenset({int})
_KINDS: dict[str, frozenset[type]] = {
    "f": frozenset({float, int, type(None)}),
    "b": frozenset({bool}),
}
_PLACE = re.compile(r" - at `\$([^`]*)`$")
_STEP = re.compile(r"\.([a-z_]+)|\[(\d+)\]")


class Input(Struct, forbid_unknown_fields=True):
    """One input tensor, as the protocol spells it."""

    name: str
    datatype: str
    shape: list[int]
    data: Any = UNSET
    parameters: dict[str, Any] = {}


class Output(Struct, forbid_unknown_fields=True):
    """One output that is asked for."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(Struct, forbid_unknown_fields=True):
    """A request of the protocol. Parameters that we do not know change nothing."""

    inputs: Annotated[list[Input], Meta(min_length=1)]
    id: Annotated[str, Meta(max_length=MAX_ID)] = ""
    outputs: list[Output] = []
    parameters: dict[str, Any] = {}

    @property
    def is_binary(self) -> bool:
        """Whether the scores are to come behind the JSON of the answer.

        Raises
        ------
        BrokenContractError
            If an output is asked for that no model has.
        """
        wants = self.parameters.get("binary_data_output", False)
        for index, output in enumerate(self.outputs):
            check_output(f"/outputs/{index}", output.name, output.parameters)
            wants = output.parameters.get("binary_data", wants)
        return wants is True


def infer_request(body: bytes, header_length: str | None) -> tuple[InferRequest, list[Tensor]]:
    """What a body asks for, and its tensors.

    Raises
    ------
    MalformedBodyError
        If it is not JSON, or an object in it has a key twice.
    BrokenContractError
        If it does not fit the protocol.
    """
    n_json = len(body) if header_length is None else _length(header_length, len(body))
    request = _fitting(strict_json(body[:n_json]))
    tail = memoryview(body)[n_json:]
    tensors = []
    for index, given in enumerate(request.inputs):
        flat, n_taken = _values(given, tail, f"/inputs/{index}")
        pointer = f"/inputs/{index}"
        tensors.append(tensor(given.name, given.datatype, given.shape, flat, pointer=pointer))
        tail = tail[n_taken:]
    if len(tail):
        message = "bytes are left behind the tensors that have a binary_data_size"
        raise fault("/inputs", "wrong_size", message)
    return request, tensors


def infer_answer(
    name: str, version: str, request: InferRequest, scores: NDArray[np.float32]
) -> tuple[bytes, int | None]:
    """Body of the answer; and, where scores stand behind it, how much of it is JSON."""
    output: Json = {"name": MODEL_OUTPUT, "datatype": SCORE_TYPE, "shape": [len(scores), 1]}
    answer: Json = {"model_name": name, "model_version": version, "outputs": [output]}
    if request.id:
        answer["id"] = request.id
    if not request.is_binary:
        output["data"] = scores.tolist()
        return msgspec.json.encode(answer), None
    raw = scores.astype("<f4", copy=False).tobytes()
    output["parameters"] = {_SIZE: len(raw)}
    head = msgspec.json.encode(answer)
    return head + raw, len(head)


def _length(said: str, n_body: int) -> int:
    if not (said.isascii() and said.isdigit() and len(said) < 20) or int(said) > n_body:
        message = f"the header {HEADER_LENGTH} must be a number of bytes of the body"
        raise fault("", "wrong_size", message)
    return int(said)


Flat = Callable[[np.dtype[Any]], NDArray[Any]]


def _values(given: Input, tail: memoryview, here: str) -> tuple[Flat, int]:
    """How to get the values of an input, and how many bytes of the tail they take."""
    size = given.parameters.get(_SIZE)
    if size is None:
        if given.data is UNSET:
            message = f"must hold data, or {_SIZE} of it must stand behind the JSON"
            raise fault(f"{here}/data", "missing_field", message)
        return lambda dtype: _from_json(given.data, dtype, here), 0
    if given.data is not UNSET:
        raise fault(f"{here}/data", "wrong_size", f"must not stand beside {_SIZE}")
    if type(size) is not int or not 0 <= size <= len(tail):
        message = f"{_SIZE} must be a number of bytes that stand behind the JSON"
        raise fault(f"{here}/parameters", "wrong_size", message)
    return lambda dtype: np.frombuffer(tail[:size], dtype=dtype), size


def _from_json(data: Any, dtype: np.dtype[Any], here: str) -> NDArray[Any]:
    """Values from a flat list, or from a list of rows; null is NaN where the type has one.

    Those of a type with a point stay float64: the cast to the vector is the only one.
    """
    is_nested = isinstance(data, list) and bool(data) and isinstance(data[0], list)
    kinds = _KINDS.get(dtype.kind, _INTEGERS)
    for place, row in enumerate(data if is_nested else [data]):
        _check_row(row, kinds, f"{here}/data/{place}" if is_nested else f"{here}/data")
    if is_nested and len(set(map(len, data))) > 1:
        raise fault(f"{here}/data", "wrong_shape", "must have rows of one length")
    return np.array(data, dtype=np.float64 if dtype.kind == "f" else dtype).reshape(-1)


def _check_row(row: Any, kinds: frozenset[type], pointer: str) -> None:
    if not isinstance(row, list):
        raise fault(pointer, "wrong_type", "must be a list")
    if not kinds.issuperset(map(type, row)):
        place = next(place for place, value in enumerate(row) if type(value) not in kinds)
        raise fault(f"{pointer}/{place}", "wrong_type", "must be a value of the datatype")


def _fitting(value: Any) -> InferRequest:
    try:
        return msgspec.convert(value, InferRequest)
    except msgspec.ValidationError as error:
        # Its message may name what was sent; its place holds names of ours and numbers only.
        text = str(error)
        place = _PLACE.search(text)
        steps = _STEP.findall(place[1]) if place else ()
        pointer = "".join(f"/{name or index}" for name, index in steps)
        code = "missing_field" if "missing required" in text else "wrong_type"
        code = "unknown_field" if "unknown field" in text else code
        raise fault(pointer, code, "does not fit the Open Inference Protocol") from None
