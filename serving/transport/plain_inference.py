"""An inference as nearly all send it: one tensor of JSON numbers, the whole vector, a score back.

It is read straight into the bytes of a model's vectors. Whatever else a body is, a wrong one among
them, is for `serving.transport.open_inference`, which says what is wrong; where both read a body,
they read the same from it.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from serving.engine.engine import MAX_POINTS
from serving.engine.tensors import MAX_ID, SCORE_TYPE
from stores.shelf.bundle import MODEL_OUTPUT

_N_MEMBERS = 5
"""Members of all objects in a plain request without an id: each has a colon."""


class _Input(Struct, forbid_unknown_fields=True, gc=False):
    name: Literal["vector"]  # `MODEL_INPUT`
    datatype: Literal["FP32", "FP64"]  # as JSON both are the same numbers
    shape: tuple[int, int]
    data: list[float | None]


class _Request(Struct, forbid_unknown_fields=True, gc=False):
    inputs: tuple[_Input]
    id: Annotated[str, Meta(max_length=MAX_ID)] = ""


_decoder = msgspec.json.Decoder(_Request)


class PlainInference(Struct, gc=False):
    """``n_rows`` vectors as little-endian float32, one after the other; NaN is null."""

    vectors: bytes
    n_rows: int
    id: str


def plain_inference(body: bytes, width: int) -> PlainInference | None:
    """What a body asks of a model whose vectors have ``width`` values; None where it is not plain.

    Examples
    --------
    >>> tensor = b'{"name": "vector", "datatype": "FP32", "shape": [1, 2], "data": [1, null]}'
    >>> plain_inference(b'{"inputs": [' + tensor + b"]}", 2).vectors.hex()
    '0000803f0000c07f'
    >>> plain_inference(b'{"inputs": []}', 2) is None
    True
    """
    try:
        asked = _decoder.decode(body)
    except (ValueError, RecursionError):
        return None
    (given,) = asked.inputs
    n_rows, n_columns = given.shape
    if n_columns != width or not 1 <= n_rows <= MAX_POINTS or len(given.data) != n_rows * width:
        return None
    # Every member has a colon; more of them are a key that came twice, or stand in the id.
    if body.count(b":") != (_N_MEMBERS + 1 if asked.id else _N_MEMBERS):
        return None
    vectors = _packed(given.data)
    return None if vectors is None else PlainInference(vectors, n_rows, asked.id)


def plain_answer(name: str, version: str, asked_id: str, scores: list[float]) -> bytes:
    """Body of the answer, as `serving.transport.open_inference.infer_answer` has it.

    Examples
    --------
    >>> plain_answer("toy", "3", "mine", [0.5]).decode()[-27:]
    '"data":[0.5]}],"id":"mine"}'
    """
    said = b'%b[%d,1],"data":%b}]' % (
        _beginning(name, version),
        len(scores),
        msgspec.json.encode(scores),
    )
    return b'%b,"id":%b}' % (said, msgspec.json.encode(asked_id)) if asked_id else said + b"}"


@lru_cache(maxsize=64)
def _beginning(name: str, version: str) -> bytes:
    """The answer of a release, up to how many scores there are."""
    output = {"name": MODEL_OUTPUT, "datatype": SCORE_TYPE, "shape": 0}
    answer = {"model_name": name, "model_version": version, "outputs": [output]}
    return msgspec.json.encode(answer).removesuffix(b"0}]}")


@lru_cache(maxsize=256)
def _layout(n_values: int) -> struct.Struct:
    return struct.Struct(f"<{n_values}f")


def _packed(data: list[float | None]) -> bytes | None:
    """Numbers rounded to the nearest float32 each; None where one is beyond all of them."""
    layout = _layout(len(data))
    try:
        return layout.pack(*data)
    except struct.error:  # there are nulls
        return _packed([math.nan if value is None else value for value in data])
    except OverflowError:
        return None
