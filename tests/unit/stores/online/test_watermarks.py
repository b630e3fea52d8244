"""The marks that folder and batch leave beside the online values."""

from __future__ import annotations

import pytest

from core.errors import IntegrityError
from stores.online.watermarks import (
    Covered,
    Watermark,
    decode_covered,
    decode_position,
    decode_watermark,
    encode_covered,
    encode_position,
    encode_watermark,
    first_ms_of,
)


@pytest.mark.parametrize("number", [-(2**63), -1, 0, 2**63 - 1])
def test_marks_come_back_as_they_were(number):
    assert decode_watermark(encode_watermark(Watermark(number, 1, 2))) == (number, 1, 2)
    assert decode_position(encode_position(number)) == number
    assert decode_covered(encode_covered(number, -number - 1)) == Covered(number, -number - 1)
    assert first_ms_of(encode_covered(1, number)) == number


def test_a_view_without_a_base_says_no_first_instant():
    assert first_ms_of(None) is None


def test_a_bare_position_is_read_without_a_head():
    assert decode_covered(encode_position(7)) == Covered(7, None)
    assert first_ms_of(encode_position(7)) is None


@pytest.mark.parametrize("decode", [decode_watermark, decode_position, decode_covered])
@pytest.mark.parametrize("size", [0, 7, 17, 25])
def test_bytes_of_another_kind_are_refused(decode, size):
    with pytest.raises(IntegrityError, match="cannot be read") as refused:
        decode(b"\xff" * size)
    assert refused.value.found == f"{size} bytes"
    assert refused.value.remedy
