"""What predictions share is put into JSON once, and nobody can tell."""

import asyncio

import msgspec
from bundles import REQUEST
from engines import Bench
from hypothesis import given
from hypothesis import strategies as st

from serving.transport.shared_json import predictions_json
from stores.layout import Layout

SHARED = ("model", "features", "timings_ms")
MEMBERS = st.dictionaries(st.sampled_from(["a", "é", "n"]), st.none() | st.integers() | st.text())


@given(st.lists(st.tuples(st.integers(), st.integers(0, 1)), max_size=5), MEMBERS, MEMBERS)
def test_bytes_are_those_of_each_prediction_by_itself(rows, first, second):
    shared = first, second
    predictions = [
        {"score": score, **{name: shared[which] for name in SHARED}, "last": None}
        for score, which in rows
    ]
    expected = msgspec.json.encode({"predictions": predictions})

    assert predictions_json(predictions) == expected
    assert msgspec.json.encode({"predictions": predictions}) == expected  # as they were


def test_candidates_of_one_request_share_what_is_put_into_json_once(tmp_path):
    bench = Bench(Layout(tmp_path).create())
    answer = asyncio.run(bench.engine.predict_many("toy", {"points": [REQUEST] * 3}))
    first, *others = answer["predictions"]
    for other in others:
        for name in SHARED:
            assert other[name] is first[name]
    assert predictions_json([first, *others]) == msgspec.json.encode(answer)
