"""A home in which people stand in every place that there is, in every encoding that is common."""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from bundles import bundle_files, serve, shelve
from deltalake import write_deltalake

from core.clock import FixedClock
from core.features.blob import base_key, delta_key
from core.features.keys import entity_key
from stores.layout import Layout
from stores.log.source_log import SourceLog
from stores.masking import ensure_mask
from stores.online import open_online_store
from stores.records.segments import SHIPPED, SegmentedRecordLog
from stores.records.shared import open_segments
from stores.shelf.bundle import CARD

ENCODINGS: tuple[Callable[[str], bytes], ...] = (
    str.encode,
    lambda text: text.encode("utf-16-le"),
    lambda text: text.encode("utf-16-be"),
    lambda text: text.encode().hex().encode(),
    lambda text: base64.b64encode(text.encode()),
    lambda text: base64.urlsafe_b64encode(b"? " + text.encode()),
    lambda text: json.dumps(text).encode(),
    lambda text: quote(text, safe="").lower().encode(),
)
DAY = date(2026, 1, 2)


def encodings_of(person: str) -> bytes:
    return b" \0\0 ".join(encode(person) for encode in ENCODINGS)


def plant(layout: Layout, people: Sequence[str]) -> None:
    """Put everybody everywhere."""
    layout.create()
    for kind in (_log, _landed, _tables, _online, _records, _runs, _shelf):
        kind(layout, people)


def _row(number: int, person: str) -> dict[str, str]:
    return {"event_id": f"e{number}", "card_id": person, "note": f"of {person}"}


def _lines(people: Sequence[str]) -> list[bytes]:
    return [json.dumps(_row(n, person)).encode() for n, person in enumerate(people)]


def _files(folder: Path, people: Sequence[str]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [_row(n, person) for n, person in enumerate(people)]
    cells = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    (folder / "a.csv").write_text("\n".join(cells) + "\n")
    (folder / "a.ndjson").write_bytes(b"\n".join(_lines(people)) + b"\n")
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    return sorted(folder.iterdir())


def _log(layout: Layout, people: Sequence[str]) -> None:
    log = SourceLog(layout.log_dir("payments"), "payments")
    log.append(_lines(people), now_ms=1)
    log.seal(2)
    log.append(_lines(people), now_ms=3)  # stays open


def _landed(layout: Layout, people: Sequence[str]) -> None:
    log = SourceLog(layout.log_dir("payments"), "payments")
    for path in _files(layout.landing_dir("payments"), people):
        log.land(path, now_ms=4)


def _tables(layout: Layout, people: Sequence[str]) -> None:
    mask = ensure_mask(layout.keys)
    columns = {
        "event_id": [f"e{n}" for n in range(len(people))],
        "card_id": list(people),
        "entity": pa.array([entity_key([person]) for person in people], pa.binary()),
        "raw": [json.dumps({"Card": encodings_of(p).decode("latin-1")}) for p in people],
        "record": [json.dumps({"entities": {"card_id": mask.of(p)}}) for p in people],
    }
    for uri, column, value in (
        (layout.events("payments"), "event_date", DAY),
        (layout.rejected("payments"), "event_date", DAY),
        (layout.tiles("card_v1"), "event_date", DAY),
        (layout.predictions("toy"), "event_date", DAY),
        (layout.scores("toy"), "as_of", DAY),
        (layout.training("toy"), "snapshot", "first"),
    ):
        table = pa.table({**columns, column: [value] * len(people)})
        if column == "snapshot":  # where nothing but the masks tell whose row it is
            masks = pa.array([mask.of(person) for person in people])
            table = table.select(["event_id", "snapshot"]).append_column("card_id", masks)
        write_deltalake(uri, table, partition_by=[column])
        write_deltalake(uri, table, mode="overwrite")  # an older version holds them, too


def _online(layout: Layout, people: Sequence[str]) -> None:
    store = open_online_store(layout.online_url)
    for person in people:
        key = entity_key([person])
        store.write({base_key("card_v1", key): b"packed", delta_key("card_v1", key): b"packed"})
        claim = {b"event/payments/" + person.encode(): b"digest"}
        store.claim(claim, expires_in_ms=10**9, now_ms=1)
    store.close()


def _records(layout: Layout, people: Sequence[str]) -> None:
    mask = ensure_mask(layout.keys)
    payloads = [json.dumps({"entities": {"card_id": mask.of(p)}}).encode() for p in people]
    log = SegmentedRecordLog(layout.records("toy"), "toy", FixedClock(1))
    log.append_many(payloads)
    log.close()
    shared = open_segments(layout.segments("toy"))
    for path in layout.records("toy").glob("*.sealed"):
        shared.put(path.name, path.read_bytes())
        (path.parent / SHIPPED).mkdir()
        path.rename(path.parent / SHIPPED / path.name)
    log.append_many(payloads)


def _runs(layout: Layout, people: Sequence[str]) -> None:
    """What runs left: artifacts, databases, logs."""
    everybody = b"\n".join(map(encodings_of, people))
    folder = layout.artifacts / "1" / "artifacts"
    folder.mkdir(parents=True)
    (folder / "notes.bin").write_bytes(everybody)
    (folder / "notes.gz").write_bytes(gzip.compress(everybody))
    with zipfile.ZipFile(folder / "notes.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("notes", everybody)
    for person in people:
        (folder / f"{person}.txt").write_text("named")
    for path in (layout.root / "mlflow.db", layout.dagster_home / "runs.db"):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE tags (name TEXT PRIMARY KEY, value BLOB)")
            rows = [(f"of {person}", encodings_of(person)) for person in people]
            connection.executemany("INSERT INTO tags VALUES (?, ?)", rows)
            connection.commit()


def _shelf(layout: Layout, people: Sequence[str]) -> None:
    """The first release serves; the second holds everybody; both were trained on them."""
    shelve(layout, snapshot_id="first")
    named = {**bundle_files(), CARD: json.dumps(list(people)).encode()}
    shelve(layout, snapshot_id="first", files=named)
    shelve(layout, snapshot_id="another")
    serve(layout, 1, counter=1)
