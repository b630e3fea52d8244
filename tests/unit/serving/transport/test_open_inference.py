"""Bodies of the Open Inference Protocol, and the cast from tensors to vectors."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from bundles import TOY_PLAN, USE_CASE, expected_score
from engines import Bench
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.errors import IntegrityError
from core.features.vector import LARGEST
from serving.engine.inference import Inference
from serving.engine.tensors import DTYPES, Tensor, vectors_of
from serving.errors import BrokenContractError, ListTooLongError, MalformedBodyError, NotFoundError
from serving.transport.open_inference import infer_answer, infer_request
from stores.layout import Layout

WIDTH = len(TOY_PLAN.vector)
ROW = [1_250.0, 2.0, 3.5, 0.25, None]


def asked(*inputs, **more):
    return json.dumps({"inputs": list(inputs), **more}).encode()


def vector(data, shape=(1, WIDTH), datatype="FP32"):
    return {"name": "vector", "datatype": datatype, "shape": list(shape), "data": data}


def values_of(body, header_length=None):
    return infer_request(body, header_length)[1][0].values


def faults_of(body, header_length=None):
    with pytest.raises(BrokenContractError) as refused:
        vectors_of(TOY_PLAN, infer_request(body, header_length)[1])
    return [(fault.pointer, fault.code) for fault in refused.value.faults]


@pytest.mark.parametrize("data", [ROW, [ROW]], ids=["flat", "rows"])
def test_data_comes_flat_or_in_rows_and_null_is_nan(data):
    expected = np.array([ROW], dtype=np.float32)
    np.testing.assert_array_equal(values_of(asked(vector(data))), expected)


@pytest.mark.parametrize("datatype", DTYPES)
def test_every_datatype_of_numbers_comes_as_bytes_and_as_json(datatype):
    dtype = np.dtype(DTYPES[datatype])
    sent = np.array([[0, 1, 1], [1, 0, 1]], dtype=dtype)
    said = {"name": "x", "datatype": datatype, "shape": [2, 3]}
    head = asked({**said, "parameters": {"binary_data_size": sent.nbytes}})
    got = values_of(head + sent.tobytes(), str(len(head)))
    np.testing.assert_array_equal(got, sent)
    assert got.dtype == dtype
    got = values_of(asked({**said, "data": sent.tolist()}))
    np.testing.assert_array_equal(got, sent)
    assert got.dtype == (np.float64 if dtype.kind == "f" else dtype)  # one cast, to the vector


@given(
    arrays(
        "<f4",
        st.tuples(st.integers(1, 4), st.just(WIDTH)),
        elements=st.floats(width=32, allow_infinity=False),
    )
)
def test_bytes_and_json_mean_the_same_vectors(sent):
    rows = [[None if np.isnan(v) else float(v) for v in row] for row in sent]
    _, by_json = infer_request(asked(vector(rows, sent.shape)), None)
    head = asked(
        {"name": "vector", "datatype": "FP32", "shape": sent.shape,
         "parameters": {"binary_data_size": sent.nbytes}}
    )  # fmt: skip
    _, by_bytes = infer_request(head + sent.tobytes(), str(len(head)))
    np.testing.assert_array_equal(vectors_of(TOY_PLAN, by_json), sent)
    np.testing.assert_array_equal(vectors_of(TOY_PLAN, by_bytes), sent)


def test_columns_come_in_any_order_and_any_type_and_make_the_plan_s_vector():
    columns = [
        Tensor(name, np.array([index, index + 10], dtype=dtype).reshape(shape))
        for index, (name, dtype, shape) in enumerate(
            zip(
                TOY_PLAN.vector,
                ["<i8", "<f4", "<u1", "<f8", "<f2"],
                [(2,), (2, 1)] * 3,
                strict=False,
            )
        )
    ]
    expected = np.array([range(5), range(10, 15)], dtype=np.float32)
    np.testing.assert_array_equal(vectors_of(TOY_PLAN, columns[::-1]), expected)


@pytest.mark.parametrize("padding", range(4))
def test_vectors_are_aligned_whatever_stands_before_their_bytes(padding):
    parameters = {"binary_data_size": 20}
    vector = {"name": "vector", "datatype": "FP32", "shape": [1, 5], "parameters": parameters}
    head = json.dumps({"inputs": [vector], "id": "x" * (padding + 1)}).encode()
    values = np.arange(5, dtype="<f4")
    _, tensors = infer_request(head + values.tobytes(), str(len(head)))
    vectors = vectors_of(TOY_PLAN, tensors)
    assert vectors.flags.aligned
    assert vectors.tolist() == [values.tolist()]


def test_what_is_beyond_float32_is_held_at_its_largest():
    for datatype in ("FP32", "FP64"):
        _, tensors = infer_request(asked(vector([1e300, -1e300, 0, 0, 0], datatype=datatype)), None)
        held = vectors_of(TOY_PLAN, tensors)[0]
        assert held[:2].tolist() == [LARGEST, -LARGEST]


BROKEN = {
    "no inputs": (asked(), [("/inputs", "wrong_type")]),
    "inputs missing": (b"{}", [("", "missing_field")]),
    "a list": (b"[]", [("", "wrong_type")]),
    "unknown field": (asked(vector(ROW), zz=1), [("", "unknown_field")]),
    "no shape": (asked({"name": "vector", "datatype": "FP32"}), [("/inputs/0", "missing_field")]),
    "no data": (
        asked({"name": "vector", "datatype": "FP32", "shape": [1, WIDTH]}),
        [("/inputs/0/data", "missing_field")],
    ),
    "text": (asked(vector(["a"] * WIDTH)), [("/inputs/0/data/0", "wrong_type")]),
    "boolean": (asked(vector([True] * WIDTH)), [("/inputs/0/data/0", "wrong_type")]),
    "ragged": (asked(vector([[1, 2], [3]], (1, 3))), [("/inputs/0/data", "wrong_shape")]),
    "deep": (asked(vector([[[1.0]]])), [("/inputs/0/data/0/0", "wrong_type")]),
    "half rows": (asked(vector([[1.0], 2.0])), [("/inputs/0/data/1", "wrong_type")]),
    "too few": (asked(vector([1.0])), [("/inputs/0/data", "wrong_size")]),
    "fraction as integer": (
        asked(vector([0.5] * WIDTH, datatype="INT64")),
        [("/inputs/0/data/0", "wrong_type")],
    ),
    "beyond the integer": (
        asked(vector([300] * WIDTH, datatype="INT8")),
        [("/inputs/0/data", "wrong_type")],
    ),
    "beyond every integer": (
        asked(vector([10**30] * WIDTH, datatype="UINT64")),
        [("/inputs/0/data", "wrong_type")],
    ),
    "null as integer": (
        asked(vector([None] * WIDTH, datatype="INT32")),
        [("/inputs/0/data/0", "wrong_type")],
    ),
    "bytes": (asked(vector(["a"], datatype="BYTES")), [("/inputs/0/datatype", "wrong_type")]),
    "no rows": (asked(vector([], (0, WIDTH))), [("/inputs/0/shape", "wrong_shape")]),
    "negative": (asked(vector(ROW, (-1, WIDTH))), [("/inputs/0/shape", "wrong_shape")]),
    "three sizes": (asked(vector(ROW, (1, 1, 5))), [("/inputs/0/shape", "wrong_shape")]),
    "another width": (asked(vector([1, 2], (1, 2))), [("/inputs/0/shape", "wrong_shape")]),
    "flat vector": (asked(vector(ROW, (WIDTH,))), [("/inputs/0/shape", "wrong_shape")]),
    "unknown column": (
        asked({**vector(ROW), "name": "4111"}),
        [("/inputs/0/name", "unknown_field")],
    ),
    "column missing": (
        asked({"name": TOY_PLAN.vector[0], "datatype": "FP32", "shape": [1], "data": [1]}),
        [("/inputs", "missing_field")],
    ),
    "column twice": (
        asked(
            *[{"name": TOY_PLAN.vector[0], "datatype": "FP32", "shape": [1], "data": [1]}] * 2
        ),
        [("/inputs/1/name", "duplicate_field")],
    ),
    "wide column": (
        asked({"name": TOY_PLAN.vector[0], "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}),
        [("/inputs/0/shape", "wrong_shape")],
    ),
    "columns of two lengths": (
        asked(
            *[
                {"name": name, "datatype": "FP32", "shape": [1 + i % 2], "data": [1] * (1 + i % 2)}
                for i, name in enumerate(TOY_PLAN.vector)
            ]
        ),
        [("/inputs", "wrong_shape")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "faults"), BROKEN.values(), ids=BROKEN.keys())
def test_what_does_not_fit_is_told_by_its_place(body, faults):
    assert faults_of(body) == faults


def with_size(size, tail=b"", length=None, **more):
    said = {"name": "vector", "datatype": "FP32", "shape": [1, WIDTH], **more}
    head = asked({**said, "parameters": {"binary_data_size": size}})
    return head + tail, str(len(head)) if length is None else length


BROKEN_BYTES = {
    "too few": (*with_size(20, b"x" * 19), [("/inputs/0/parameters", "wrong_size")]),
    "left behind": (*with_size(20, b"\0" * 21), [("/inputs", "wrong_size")]),
    "not whole": (*with_size(19, b"\0" * 19), [("/inputs/0/data", "wrong_type")]),
    "fewer than the shape": (*with_size(16, b"\0" * 16), [("/inputs/0/data", "wrong_size")]),
    "negative": (*with_size(-1, b"\0" * 20), [("/inputs/0/parameters", "wrong_size")]),
    "a word": (*with_size("20", b"\0" * 20), [("/inputs/0/parameters", "wrong_size")]),
    "true": (*with_size(True, b"\0"), [("/inputs/0/parameters", "wrong_size")]),
    "both": (*with_size(20, b"\0" * 20, data=[1]), [("/inputs/0/data", "wrong_size")]),
    "infinity": (
        *with_size(20, np.array([np.inf] * 5, "<f4").tobytes()),
        [("/inputs/0/data", "not_finite")],
    ),
    "length beyond": (*with_size(20, b"\0" * 20, "9999"), [("", "wrong_size")]),
    "length a word": (*with_size(20, b"\0" * 20, "many"), [("", "wrong_size")]),
    "length below zero": (*with_size(20, b"\0" * 20, "-5"), [("", "wrong_size")]),
    "length in other digits": (*with_size(20, b"\0" * 20, "\u0661"), [("", "wrong_size")]),
}


@pytest.mark.parametrize(
    ("body", "length", "faults"), BROKEN_BYTES.values(), ids=BROKEN_BYTES.keys()
)
def test_bytes_that_do_not_fit_are_told_by_their_place(body, length, faults):
    assert faults_of(body, length) == faults


def test_bytes_of_a_model_without_rows_are_not_read_as_numbers():
    with pytest.raises(MalformedBodyError):
        infer_request(b'{"inputs": [] ', None)
    with pytest.raises(MalformedBodyError) as refused:
        infer_request(b'{"inputs": [], "id": "a", "id": "b"}', None)
    assert refused.value.code == "duplicate_key"


def test_a_number_of_400_digits_is_refused():
    body = asked(vector(ROW)).replace(b"1250.0", b"9" * 400)
    with pytest.raises((MalformedBodyError, BrokenContractError)):
        infer_request(body, None)


def test_more_rows_than_a_request_may_have_are_refused():
    rows = Tensor("vector", np.zeros((1_001, WIDTH), np.float32))
    with pytest.raises(ListTooLongError):
        vectors_of(TOY_PLAN, [rows])
    assert len(vectors_of(TOY_PLAN, [Tensor("vector", rows.values[1:])])) == 1_000


@pytest.mark.parametrize(
    ("more", "is_binary"),
    [
        ({}, False),
        ({"parameters": {"binary_data_output": True}}, True),
        ({"outputs": [{"name": "score"}]}, False),
        ({"outputs": [{"name": "score", "parameters": {"binary_data": True}}]}, True),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [{"name": "score", "parameters": {"binary_data": False}}],
            },
            False,
        ),
    ],
)
def test_scores_come_as_they_were_asked_for(more, is_binary):
    request, _ = infer_request(asked(vector(ROW), id="mine", **more), None)
    scores = np.array([0.25, 0.5], dtype=np.float32)
    content, n_json = infer_answer("toy", "3", request, scores)
    answer = json.loads(content[:n_json])
    (output,) = answer.pop("outputs")
    assert answer == {"model_name": "toy", "model_version": "3", "id": "mine"}
    assert (output["name"], output["datatype"], output["shape"]) == ("score", "FP32", [2, 1])
    if is_binary:
        assert output["parameters"] == {"binary_data_size": 8}
        assert np.frombuffer(content[n_json:], "<f4").tolist() == [0.25, 0.5]
    else:
        assert n_json is None
        assert output["data"] == [0.25, 0.5]


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        ({"name": "label"}, ("/outputs/0/name", "unknown_field")),
        (
            {"name": "score", "parameters": {"classification": 2}},
            ("/outputs/0/parameters", "not_offered"),
        ),
    ],
)
def test_an_output_that_is_not_there_is_refused(output, fault):
    request, _ = infer_request(asked(vector(ROW), outputs=[output]), None)
    with pytest.raises(BrokenContractError) as refused:
        infer_answer("toy", "3", request, np.zeros(1, np.float32))
    assert [(each.pointer, each.code) for each in refused.value.faults] == [fault]


# -- the model behind it -----------------------------------------------------------------


class Counted:
    def __init__(self):
        self.rows = []

    def inferred(self, use_case, channel, n_rows):
        self.rows.append((use_case, channel, n_rows))


@pytest.fixture
def bench(tmp_path):
    return Bench(Layout(tmp_path).create())


@pytest.fixture
def counted():
    return Counted()


@pytest.fixture
def inference(bench, counted):
    return Inference(bench.releases, counted)


def rows(n=1):
    return [Tensor("vector", np.array([ROW] * n, dtype=np.float32))]


def test_scores_are_those_of_the_model_and_nothing_is_recorded(bench, inference, counted):
    version, scores = asyncio.run(inference.infer(USE_CASE, "", rows(3)))
    assert version == "1"
    assert scores.tolist() == pytest.approx([expected_score(ROW)] * 3, abs=1e-6)
    assert counted.rows == [(USE_CASE, "champion", 3)]
    assert bench.records.payloads == []


def test_a_version_is_a_release_in_memory(inference):
    assert asyncio.run(inference.infer(USE_CASE, "1", rows()))[0] == "1"
    for version in ("2", "01", "one"):
        with pytest.raises(NotFoundError) as refused:
            inference.metadata(USE_CASE, version)
        assert refused.value.code == "unknown_version"
    with pytest.raises(NotFoundError):
        inference.metadata("other")


@pytest.mark.parametrize("channel", ["challenger", "shadow"])
def test_one_beside_the_champion_is_asked_by_its_number(bench, inference, counted, channel):
    served = bench.releases.served(USE_CASE)
    manifest = served.champion.manifest.model_copy(update={"release": 7})
    beside = replace(served, **{channel: replace(served.champion, manifest=manifest)})
    bench.releases.roster = replace(bench.releases.roster, use_cases={USE_CASE: beside})
    assert inference.metadata(USE_CASE)["versions"] == ["1", "7"]
    assert asyncio.run(inference.infer(USE_CASE, "7", rows(2)))[0] == "7"
    assert asyncio.run(inference.infer(USE_CASE, "", rows()))[0] == "1"
    assert counted.rows == [(USE_CASE, channel, 2), (USE_CASE, "champion", 1)]


def test_metadata_names_columns_in_the_order_of_the_vector(inference):
    said = inference.metadata(USE_CASE)
    assert (said["name"], said["versions"], said["platform"]) == (
        USE_CASE, ["1"], "onnxruntime_onnx",
    )  # fmt: skip
    (given,) = said["inputs"]
    assert given["shape"] == [-1, WIDTH]
    assert given["parameters"]["columns"] == list(TOY_PLAN.vector)


def test_a_model_that_answers_no_number_is_our_fault(bench, inference, monkeypatch):
    class Broken:
        async def score(self, vectors):
            return np.full(len(vectors), np.nan, dtype=np.float32)

    champion = bench.releases.served(USE_CASE).champion
    object.__setattr__(champion, "scorer", Broken())
    with pytest.raises(IntegrityError):
        asyncio.run(inference.infer(USE_CASE, "", rows()))
