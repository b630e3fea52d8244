"""A home with two releases of the toy: what each learnt from is still there, and no longer."""

from __future__ import annotations

import pyarrow as pa
from bundles import serve, shelve
from deltalake import CommitProperties, Transaction, write_deltalake
from payments import PAYMENTS, payment, seal_events

from core.clock import DAY_MS
from stores.layout import Layout
from stores.lineage import INGEST

NOW_MS = 1_700_000_000_000


def learnt(layout: Layout) -> Layout:
    """The first release read one epoch of payments, the second, which serves, a lost version."""
    for n in range(2):
        epoch = seal_events(layout, PAYMENTS, [payment(f"e{n}", NOW_MS + n * DAY_MS)])
        commit = CommitProperties(app_transactions=[Transaction(INGEST, epoch)])
        rows = pa.table({"n": [n]})
        uri = layout.events("payments")
        write_deltalake(uri, rows, mode="append", commit_properties=commit)
    shelve(layout, read_versions={"payments": 0}, snapshot_id="first", mlflow_run_id="r1")
    release = shelve(
        layout, read_versions={"payments": 7}, snapshot_id="second", mlflow_run_id="r2"
    )
    serve(layout, release, counter=1)
    return layout
