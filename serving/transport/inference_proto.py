"""The messages of the Open Inference Protocol for gRPC, built from one table when they are wanted.

The table says what the protocol's public ``.proto`` says: package ``inference``, service
``GRPCInferenceService``, the same numbers. The messages live in a pool of their own, so that
they never meet a client's copy of them in one process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
METHODS: dict[str, tuple[str, str]] = {
    name: (f"{name}Request", f"{name}Response")
    for name in (
        "ServerLive",
        "ServerReady",
        "ModelReady",
        "ServerMetadata",
        "ModelMetadata",
        "ModelInfer",
    )
}

_FILE = "open_inference.proto"
_PARAMETERS = "map InferParameter parameters"
_TENSOR = ("1 string name", "2 string datatype", "3 repeated int64 shape")
_VALUES = (*_TENSOR, f"4 {_PARAMETERS}", "5 InferTensorContents contents")
_MODEL = ("1 string name", "2 string version")
_MESSAGES: dict[str, tuple[str, ...]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("1 bool live",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("1 bool ready",),
    "ModelReadyRequest": _MODEL,
    "ModelReadyResponse": ("1 bool ready",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": (*_MODEL, "3 repeated string extensions"),
    "ModelMetadataRequest": _MODEL,
    "ModelMetadataResponse": (
        "1 string name",
        "2 repeated string versions",
        "3 string platform",
        "4 repeated ModelMetadataResponse.TensorMetadata inputs",
        "5 repeated ModelMetadataResponse.TensorMetadata outputs",
    ),
    "ModelMetadataResponse.TensorMetadata": _TENSOR,
    "InferParameter": (
        "1 choice bool bool_param",
        "2 choice int64 int64_param",
        "3 choice string string_param",
        "4 choice double double_param",
        "5 choice uint64 uint64_param",
    ),
    "InferTensorContents": (
        "1 repeated bool bool_contents",
        "2 repeated int32 int_contents",
        "3 repeated int64 int64_contents",
        "4 repeated uint32 uint_contents",
        "5 repeated uint64 uint64_contents",
        "6 repeated float fp32_contents",
        "7 repeated double fp64_contents",
        "8 repeated bytes bytes_contents",
    ),
    "ModelInferRequest": (
        "1 string model_name",
        "2 string model_version",
        "3 string id",
        f"4 {_PARAMETERS}",
        "5 repeated ModelInferRequest.InferInputTensor inputs",
        "6 repeated ModelInferRequest.InferRequestedOutputTensor outputs",
        "7 repeated bytes raw_input_contents",
    ),
    "ModelInferRequest.InferInputTensor": _VALUES,
    "ModelInferRequest.InferRequestedOutputTensor": ("1 string name", f"2 {_PARAMETERS}"),
    "ModelInferResponse": (
        "1 string model_name",
        "2 string model_version",
        "3 string id",
        f"4 {_PARAMETERS}",
        "5 repeated ModelInferResponse.InferOutputTensor outputs",
        "6 repeated bytes raw_output_contents",
    ),
    "ModelInferResponse.InferOutputTensor": _VALUES,
}
_Field = descriptor_pb2.FieldDescriptorProto


def messages() -> Mapping[str, Any]:
    """Class of each message, by its name in the package."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(_file())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in _MESSAGES
    }


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=_FILE, package=PACKAGE, syntax="proto3")
    made: dict[str, Any] = {}
    for name, fields in sorted(_MESSAGES.items()):  # an outer one stands before its inner ones
        outer, _, inner = name.partition(".")
        made[name] = made[outer].nested_type.add(name=inner) if inner else file.message_type.add()
        made[name].name = inner or outer
        for field in fields:
            _add(made[name], name, *_words(field))
    return file


def _words(field: str) -> Iterator[str]:
    """Number, label, type and name of a field."""
    words = field.split()
    yield from (words[0], words[1] if len(words) == 4 else "", *words[-2:])


def _add(message: Any, within: str, number: str, label: str, kind: str, name: str) -> None:
    if label == "map":
        entry = message.nested_type.add(name="ParametersEntry")
        entry.options.map_entry = True
        _add(entry, within, "1", "", "string", "key")
        _add(entry, within, "2", "", kind, "value")
        label, kind = "repeated", f"{within}.ParametersEntry"
    is_many = label == "repeated"
    field = message.field.add(name=name, number=int(number))
    field.label = _Field.LABEL_REPEATED if is_many else _Field.LABEL_OPTIONAL
    if label == "choice":
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    if kind[0].isupper():
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = getattr(_Field, f"TYPE_{kind.upper()}")
