"""CRC-32 by compiled code against zlib's, and what becomes of code that folds wrongly."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

import pytest
from compiled_merge import built

from stores import checksums

BYTES = random.Random(5).randbytes(100_000)
SIZES = (*range(700), 1_024, 3_217, 100_000)


def differing(library) -> list[int]:
    found = []
    for size in SIZES:
        data = BYTES[:size]
        if library.throughline_crc(data, size) != zlib.crc32(data):
            found.append(size)
    return found


def test_every_size_has_the_checksum_that_zlib_gives():
    assert differing(built()) == []


def test_bytes_that_begin_anywhere_have_theirs():
    library = built()
    for start in range(65):
        data = BYTES[start : start + 777]
        assert library.throughline_crc(data, 777) == zlib.crc32(data)


def test_code_that_folds_wrongly_leaves_it_to_the_tables():
    wrong = built("a = fold(a, by_16, LOAD(at));", "a = fold(a, by_64, LOAD(at));")
    assert differing(wrong) == []


def test_whole_steps_are_folded_where_the_processor_can():
    if "pclmulqdq" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor does not multiply without carries")
    no_tables = "&& folds_right();\n    memset(crc_tables, 0, sizeof crc_tables);"
    wrong = differing(built("&& folds_right();", no_tables))
    assert 63 in wrong
    assert not {64, 80, 1_024} & set(wrong)


def test_a_machine_without_compiled_code_asks_zlib(monkeypatch):
    monkeypatch.setattr(checksums, "compiled_merge", lambda: None)
    assert checksums.crc32(b"123456789") == 0xCBF43926
