"""Twenty identifiers planted in every kind of file: each is found, and nothing where none is."""

from __future__ import annotations

import base64
import gzip
import sqlite3
import zipfile
from contextlib import closing
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.erasing.needles import needles
from core.erasing.sought import Sought
from core.errors import DependencyError
from stores.erasing import scanning
from stores.erasing.scanning import scan_file, scan_tree, scan_values

PLANTED = [f"card-{number:02}-ö{number * 7919}" for number in range(20)]
ALL = {needle: name for planted in PLANTED for needle, name in needles(planted).items()}
FILLER = b" nothing of anybody " * 50


def as_bytes(path, encoded):
    path.write_bytes(FILLER + encoded + FILLER)


def plain(path, identifier):
    as_bytes(path, identifier.encode())


def wide(path, identifier):
    as_bytes(path, identifier.encode("utf-16-le"))


def hexadecimal(path, identifier):
    as_bytes(path, identifier.encode().hex().encode())


def encoded(path, identifier):
    as_bytes(path, base64.b64encode(b"x " + identifier.encode()))


def escaped(path, identifier):
    as_bytes(path, quote(identifier).encode())


def gzipped(path, identifier):
    path.write_bytes(gzip.compress(FILLER + identifier.encode()))


def zipped(path, identifier):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", FILLER + identifier.encode())


def parquet(compression, is_plain=False):
    def write(path, identifier):
        names = [f"other-{number}" for number in range(500)] + [identifier] * 2
        table = pa.table({"n": list(range(502)), "card_id": names})
        stats = ["n"]
        pq.write_table(
            table,
            path,
            compression=compression,
            write_statistics=stats,
            use_dictionary=not is_plain,
        )

    return write


def zstandard(path, identifier):
    with pa.output_stream(str(path), compression="zstd") as stream:
        stream.write(FILLER + identifier.encode())


def database(path, identifier):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE online (key BLOB, value BLOB)")
        connection.execute("INSERT INTO online VALUES (?, ?)", (b"k", identifier.encode()))
        connection.commit()


def cut_database(path, identifier):
    """A value longer than a page, with the identifier where the page ends."""
    for behind in range(8_000, 13_000, 7):
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE online (value BLOB)")
            value = b"." * 600 + identifier.encode() + b"." * behind
            connection.execute("INSERT INTO online VALUES (?)", (value,))
            connection.commit()
        if identifier.encode() not in path.read_bytes():
            return
    raise AssertionError("no value was cut there")


WAYS = [
    plain,
    wide,
    hexadecimal,
    encoded,
    escaped,
    gzipped,
    zipped,
    zstandard,
    database,
    cut_database,
    *(parquet(kind) for kind in ("snappy", "gzip", "zstd", "none")),
    *(parquet(kind, is_plain=True) for kind in ("snappy", "gzip", "zstd", "brotli", "lz4", "none")),
]


def test_each_of_twenty_identifiers_planted_in_another_way_is_found(tmp_path):
    assert len(WAYS) == len(PLANTED)
    for number, (way, identifier) in enumerate(zip(WAYS, PLANTED, strict=True)):
        folder = tmp_path / f"deep-{number % 3}"
        folder.mkdir(exist_ok=True)
        way(folder / f"{number}.data", identifier)
    found = scan_tree(tmp_path, ALL)
    assert {sighting.place.rpartition("/")[2] for sighting in found} == {
        f"{number}.data" for number in range(20)
    }
    for number, identifier in enumerate(PLANTED):
        (place,) = {sighting.place for sighting in scan_tree(tmp_path, Sought(identifier))}
        assert place.endswith(f"/{number}.data")
        assert scan_tree(tmp_path, Sought(identifier[:-1])) == []  # part of a longer word


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__qualname__)
def test_where_it_is_not_nothing_is_found(tmp_path, way):
    way(tmp_path / "file.data", "somebody-else-99")
    assert scan_tree(tmp_path, ALL) == []


def test_the_place_the_part_and_the_number_are_said_and_the_identifier_is_not(tmp_path):
    parquet("snappy")(tmp_path / "a.parquet", PLANTED[0])
    found = scan_tree(tmp_path, needles(PLANTED[0]))
    columns = [sighting for sighting in found if sighting.part == "column card_id"]
    assert [(s.place, s.encoding, s.times) for s in columns] == [("a.parquet", "utf-8", 2)]
    assert PLANTED[0] not in str(found)


def test_the_name_of_a_file_may_give_it_away(tmp_path):
    (tmp_path / f"{quote(PLANTED[3])}.txt").write_bytes(b"")
    (found,) = scan_tree(tmp_path, needles(PLANTED[3]))
    assert (found.part, found.encoding) == ("name", "url")


def test_a_match_across_two_chunks_is_counted_once(tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "CHUNK_BYTES", 64)
    identifier = "card-77777777"
    for place in range(40, 140):
        path = tmp_path / "file"
        path.write_bytes(b"." * place + identifier.encode() + b"." * 100)
        (found,) = scan_file(path, "file", needles(identifier))
        assert found.times == 1


def test_a_file_that_cannot_be_opened_is_not_called_clean(tmp_path):
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DependencyError, match="cannot be searched"):
        scan_tree(tmp_path, ALL)


def test_links_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    plain(outside, PLANTED[0])
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    assert scan_tree(inside, ALL) == []


def test_keys_and_values_of_a_store_are_told_apart():
    pairs = [(PLANTED[0].encode(), b"x"), (b"k", PLANTED[0].encode() * 2), (b"k", b"v")]
    found = scan_values("store", pairs, needles(PLANTED[0]))
    assert [(s.part, s.times) for s in found] == [("key", 1), ("value", 2)]
