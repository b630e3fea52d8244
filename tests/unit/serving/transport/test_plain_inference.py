"""Plain inferences: read as every other, or not at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bundles import TOY_PLAN
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import PlatformError
from core.features.vector import LARGEST
from serving.engine.tensors import vectors_of
from serving.transport.open_inference import infer_answer, infer_request
from serving.transport.plain_inference import plain_answer, plain_inference

WIDTH = len(TOY_PLAN.vector)
ROW = [1_250.0, 2, -3.5, 0.25, None]

numbers = st.one_of(
    st.none(),
    st.integers(),
    st.sampled_from([10**30, -(10**308), 10**400, 2**53 + 1, 2**64]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.sampled_from([3.4028235677973366e38, 3.4028235677973362e38, 1e300, -1e300, 5e-324]),
)
odd = st.sampled_from([True, "a", [0.5], "1"])
rows = st.lists(numbers, min_size=WIDTH, max_size=WIDTH)


def mostly(usual, *others):
    """One of some values, the usual one of them every other time."""
    return st.sampled_from([usual] * len(others) + list(others))


def written(row, strange, name, datatype, shape, n_inputs, more, twice):
    """A request of which much is plain, or one thing of it is not."""
    data = [*row, *strange]
    given = {"name": name, "datatype": datatype, "shape": shape, "data": data}
    text = json.dumps({"inputs": [given] * n_inputs, **more})
    return ("{" + twice + text.removeprefix("{")).encode()


bodies = st.builds(
    written,
    rows,
    st.lists(odd, max_size=1),
    mostly("vector", TOY_PLAN.vector[0], ":"),
    mostly("FP32", "FP64", "FP16", "INT64", "BOOL", "BYTES"),
    mostly([1, WIDTH], [2, WIDTH], [1, WIDTH + 1], [WIDTH], [-1, WIDTH], [True, WIDTH]),
    mostly(1, 0, 2),
    mostly({}, {"id": "a"}, {"id": ""}, {"id": ":"}, {"id": "a" * 257}, {"outputs": []}, {"zz": 1}),
    mostly("", '"id": "x", ', '"inputs": [], '),
)


def body_of(row, shape=(1, WIDTH), **more):
    tensor = {"name": "vector", "datatype": "FP32", "shape": list(shape), "data": row}
    return json.dumps({"inputs": [tensor], **more}).encode()


def as_all_are_read(body):
    request, tensors = infer_request(body, None)
    return request, vectors_of(TOY_PLAN, tensors)


@given(bodies)
@example(body_of([-0.0, 0, 1, 2, 3]))
@example(body_of(ROW).replace(b"1250.0", b"-0"))
def test_what_is_plain_means_the_same_to_both_bit_by_bit(body):
    plain = plain_inference(body, WIDTH)
    if plain is None:
        return
    request, vectors = as_all_are_read(body)
    assert plain.vectors == vectors.astype("<f4").tobytes()
    assert (plain.n_rows, plain.id) == (len(vectors), request.id)
    assert not request.is_binary


@given(rows, rows, st.sampled_from(["", "mine"]))
def test_whatever_is_sent_as_nearly_all_send_it_is_plain(first, second, asked_id):
    body = body_of(first + second, (2, WIDTH), **({"id": asked_id} if asked_id else {}))
    try:
        _, vectors = as_all_are_read(body)
    except PlatformError:
        assert plain_inference(body, WIDTH) is None
        return
    is_held = bool((np.abs(vectors) == LARGEST).any())
    plain = plain_inference(body, WIDTH)
    assert is_held or (plain is not None and plain.n_rows == 2)


NOT_PLAIN = {
    "no JSON": b"{",
    "deep": b"[" * 100_000,
    "no UTF-8": body_of(ROW, id="x").replace(b'"x"', b'"\xff"'),
    "no id": body_of(ROW, id=""),
    "a colon in the id": body_of(ROW, id="a:b"),
    "a key twice": body_of(ROW).replace(b'"name"', b'"shape": [1, 5], "name"'),
    "rows": body_of([ROW]),
    "too few": body_of(ROW[1:]),
    "too many rows": body_of([0] * 1_001 * WIDTH, (1_001, WIDTH)),
    "another width": body_of([1, 2], (1, 2)),
    "beyond float32": body_of([1e300, 0, 0, 0, 0]),
    "boolean": body_of([True, 0, 0, 0, 0]),
    "more behind it": body_of(ROW) + b"{}",
}


@pytest.mark.parametrize("body", NOT_PLAIN.values(), ids=NOT_PLAIN.keys())
def test_what_is_not_plain_is_left_to_others(body):
    assert plain_inference(body, WIDTH) is None


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=3),
    st.one_of(st.just(""), st.text(max_size=3), st.sampled_from(["a:b", '"', "é"])),
    st.sampled_from(["toy", 'a"b', "\u2028"]),
)
def test_an_answer_has_the_bytes_of_every_answer(scores, asked_id, name):
    request, _ = infer_request(body_of(ROW, id=asked_id), None)
    values = np.array(scores, dtype=np.float32)
    told, n_json = infer_answer(name, "3", request, values)
    assert n_json is None
    assert plain_answer(name, "3", asked_id, values.tolist()) == told
