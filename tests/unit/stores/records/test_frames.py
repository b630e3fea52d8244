"""Frames of packed records: compiled code and Python write the same, which reads as it was told."""

import json
import math
from array import array

import numpy as np
import pytest
from compiled_merge import built
from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from core.errors import InvalidInputError
from core.packed_records import NONE, STATUSES, named_numbers, whole_record
from stores.records import frames as framing_module
from stores.records.frames import Columns, Framing
from stores.records.segments import frames_of

FLOATS = st.floats(width=64)
LONGS = st.integers(NONE, 2**63 - 1)


def numbers(elements, n):
    return st.lists(elements, min_size=n, max_size=n)


@st.composite
def passes(draw):
    """Columns of a pass, names of its values, the places that are kept."""
    n, n_outputs = draw(st.integers(1, 5)), draw(st.integers(0, 3))
    widths = draw(st.lists(st.integers(0, 4), max_size=3))
    n_views, n_values = len(widths), sum(widths) + n_outputs
    columns = Columns(
        array("d", draw(numbers(FLOATS, n_values * n))),
        array("d", draw(numbers(FLOATS, n))),
        array("q", draw(numbers(LONGS, 2 * n_views * n))),
        array("B", draw(numbers(st.integers(0, len(STATUSES) - 1), n_views * n))),
        draw(arrays(np.float32, (n, draw(st.integers(0, 7))), elements=st.floats(width=32))),
    )
    views = {f"v{k}": [f"x{j}" for j in range(width)] for k, width in enumerate(widths)}
    kept = [place for place in range(n) if draw(st.booleans())] or [n - 1]
    return columns, named_numbers(views, [f"o{k}" for k in range(n_outputs)]), kept


def beginning(policy, named):
    fixed = {"version": 4, "use_case": "toy", "masked": [], "model": {"release": 1}}
    members = {**fixed, "policy_digest": "d", "policy": policy, **named}
    return json.dumps(members).encode()[:-1] + b","


def own(text):
    return {"at_ms": 1, "entities": {"card": text}, "decision": "OK"}


def framings(named, library):
    begins = beginning("scored", named), beginning("unscored", named)
    return Framing(*begins, library), Framing(*begins, None)


def number(value):
    return float(value) if math.isfinite(value) else None


@settings(max_examples=examples(200))
@given(passes(), st.lists(st.text(max_size=90), min_size=5, max_size=5))
def test_compiled_code_and_python_write_the_same_and_it_is_read_as_told(told, texts):
    columns, named, kept = told
    lines = b"".join(json.dumps(own(texts[k])).encode() + b"\n" for k in range(len(kept)))
    compiled, plain = (each.frames(lines, kept, columns) for each in framings(named, built()))
    assert bytes(compiled.content) == plain.content
    assert list(compiled.sizes) == plain.sizes

    payloads = [payload for _, payload in frames_of(bytes(compiled.content))]
    assert len(payloads) == len(kept)
    for text, place, payload in zip(texts, kept, payloads, strict=False):
        record = whole_record(payload)
        values = [v for view in record["features"].values() for v in view["values"].values()]
        values += record["transforms"].values()
        n = len(columns.scores)
        assert values == [number(v) for v in columns.values[place::n]]
        assert record["vector"] == [number(v) for v in columns.vectors[place]]
        assert record["score"] == number(columns.scores[place])
        assert record["entities"] == {"card": text}
        is_scored = not math.isnan(columns.scores[place])
        assert record["policy"] == ("scored" if is_scored else "unscored")
        for k, view in enumerate(record["features"].values()):
            cell = k * n + place
            ages, seen = columns.read[cell], columns.read[len(columns.read) // 2 + cell]
            assert view["age_ms"] == (None if ages == NONE else ages)
            assert view["seen_position"] == (None if seen == NONE else seen)
            assert view["status"] == STATUSES[columns.statuses[cell]]


def wide(width):
    """A point of one view without values, and a vector of ``width``."""
    vectors = np.arange(width, dtype=np.float32)[None]
    return Columns(array("d"), array("d", [0.0]), array("q", [0, 0]), array("B", [0]), vectors)


def test_numbers_for_which_compiled_code_has_no_room_are_written_all_the_same():
    named = named_numbers({"v": []}, [])
    most = (framing_module.MOST_BYTES - 8 - 16 - 1) // 4
    for width in (most, most + 1):
        compiled, plain = framings(named, built())
        found = compiled.frames(b'{"at_ms":1,"decision":"OK"}\n', [0], wide(width))
        assert found.content == plain.frames(b'{"at_ms":1,"decision":"OK"}\n', [0], wide(width))[0]
        ((_, payload),) = frames_of(bytes(found.content))
        assert whole_record(payload)["vector"] == [*range(width)]


@pytest.mark.parametrize("place", [0, 1])
def test_a_record_larger_than_a_frame_is_refused(monkeypatch, place):
    monkeypatch.setattr("stores.records.segments.MAX_PAYLOAD_BYTES", 500)
    framing = framings(named_numbers({"v": []}, []), built())[place]
    framing.frames(b'{"at_ms":1}\n', [0], wide(2))
    with pytest.raises(InvalidInputError) as refused:
        framing.frames(b'{"at_ms":"%s"}\n' % (b"1" * 500), [0], wide(2))
    assert refused.value.code == "record_size"


@pytest.mark.parametrize("lines", [b"", b'{"at_ms":1}', b'{"at_ms":1}\n{"at_ms":2}\n'])
@pytest.mark.parametrize("place", [0, 1])
def test_lines_for_other_records_than_there_are_are_refused(lines, place):
    framing = framings(named_numbers({"v": []}, []), built())[place]
    with pytest.raises(ValueError, match="records: 1"):
        framing.frames(lines, [0], wide(2))


def test_passes_of_any_size_follow_each_other_and_rows_may_lie_apart(monkeypatch):
    monkeypatch.setattr(framing_module, "HELD_BYTES", 8_000)
    compiled, plain = framings(named_numbers({"v": ["x"]}, []), built())
    for n in (1, 12, 3, 40, 2):
        rows = np.arange(n * 4.0).reshape(n, 4)
        columns = Columns(
            memoryview(array("d", range(2 * n)))[n:],
            array("d", [0.5] * n),
            array("q", range(2 * n)),
            array("B", [k % 8 for k in range(n)]),
            np.asfortranarray(rows, dtype=np.float32),
        )
        lines = b"".join(b'{"at_ms":%d}\n' % k for k in range(n))
        found = compiled.frames(lines, range(n), columns)
        assert bytes(found.content) == plain.frames(lines, range(n), columns).content
