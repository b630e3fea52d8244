"""A backup is a whole copy of a home at work, and comes back elsewhere as it was."""

import json
import shutil
import sqlite3
import threading
from contextlib import closing

import dagster as dg
import pyarrow as pa
import pytest
from bundles import serve, shelve
from deltalake import DeltaTable, write_deltalake

from core.errors import IntegrityError, InvalidInputError, NotReadyError
from orchestration.instance import open_instance
from stores.backups import backups_in, faults_of, put_back, read_backup, renew_list, take_backup
from stores.durable import exclusive_lock
from stores.keys.signing import KeyRing
from stores.layout import Layout
from stores.shelf.channels import ChannelBoard

AT_MS = 1_700_000_000_123


def rows(*numbers):
    return pa.table({"n": pa.array(numbers, pa.int64())})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home with a release, a table of two versions, a database in use, and what passes."""
    layout = Layout(tmp_path_factory.mktemp("made") / "home").create()
    serve(layout, shelve(layout), counter=1)
    write_deltalake(layout.events("payments"), rows(1, 2))
    write_deltalake(layout.events("payments"), rows(3), mode="append")
    write_deltalake(layout.staging("ingest"), rows(9))
    with closing(sqlite3.connect(layout.root / "mlflow.db")) as tracked:
        tracked.execute("PRAGMA journal_mode=wal")
        tracked.execute("CREATE TABLE runs (artifact_uri VARCHAR(200), name TEXT, n INTEGER)")
        artifacts = layout.artifacts.as_uri()
        tracked.execute("INSERT INTO runs VALUES (?, ?, 1)", (f"{artifacts}/1", "beside"))
        tracked.execute("INSERT INTO runs VALUES (?, ?, 2)", (str(layout.artifacts), "here/x"))
        tracked.commit()
    for name in ("log/payments/1.open", "spark/scratch", "state/up.pid", "state/home_id"):
        path = layout.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return layout


@pytest.fixture
def home(made, tmp_path):
    shutil.copytree(made.root, tmp_path / "home")
    return Layout(tmp_path / "home")


def contents(layout):
    return sorted(DeltaTable(layout.events("payments")).to_pyarrow_table()["n"].to_pylist())


def test_what_comes_back_is_what_was_there(home, tmp_path):
    taken = take_backup(home, tmp_path / "kept", at_ms=AT_MS)
    write_deltalake(home.events("payments"), rows(4), mode="append")
    back = Layout(tmp_path / "back")
    put_back(taken.path, back.root)
    assert contents(back) == [1, 2, 3]
    assert DeltaTable(back.events("payments"), version=0).to_pyarrow_table().num_rows == 2
    assert (back.log_dir("payments") / "1.open").read_text() == "log/payments/1.open"
    keys = KeyRing.from_directory(back.keys)
    assert ChannelBoard(back.shelf).read(keys).use_cases["toy"].champion == 1
    for path in home.keys.glob("*.pem"):
        assert (back.keys / path.name).stat().st_mode == path.stat().st_mode
    assert back.keys.stat().st_mode & 0o777 == 0o700


def test_two_at_once_come_one_after_the_other(home, tmp_path):
    """The second removed what the first had copied so far, taking it for one that was killed."""
    kept, taken = tmp_path / "kept", []
    half = kept / ".under-way-by-another" / "file"
    half.parent.mkdir(parents=True)
    half.write_text("half")
    second = threading.Thread(target=lambda: taken.append(take_backup(home, kept, at_ms=AT_MS)))
    with exclusive_lock(kept / ".lock"):
        second.start()
        second.join(timeout=0.2)
        assert half.exists()
    second.join(timeout=60)
    assert [each.path for each in taken] == list(backups_in(kept))
    assert not half.exists()


def test_what_dagster_ran_and_made_comes_back(home, tmp_path):
    @dg.asset
    def made():
        return dg.MaterializeResult(metadata={"rows": 7})

    with open_instance(home.dagster_home) as instance:
        run_id = dg.materialize([made], instance=instance).run_id
        n_events = len(instance.all_logs(run_id))
    put_back(take_backup(home, tmp_path / "kept", at_ms=AT_MS).path, tmp_path / "new")
    shutil.rmtree(home.root)
    with open_instance(Layout(tmp_path / "new").dagster_home) as instance:
        assert [run.run_id for run in instance.get_runs()] == [run_id]
        assert len(instance.all_logs(run_id)) == n_events
        [event] = instance.fetch_materializations(made.key, limit=10).records
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["rows"].value == 7


def test_what_passes_is_left_out(home, tmp_path):
    names = take_backup(home, tmp_path / "kept", at_ms=AT_MS).backup.files
    assert "home/state/home_id" in names
    assert not [n for n in names if "spark" in n or "staging" in n or n.endswith((".pid", "-wal"))]


def test_rows_of_a_database_that_only_its_journal_holds_are_in_the_copy(home, tmp_path):
    path = home.root / "mlflow.db"
    with closing(sqlite3.connect(path)) as busy:
        busy.execute("INSERT INTO runs VALUES ('x', 'in the journal', 3)")
        busy.commit()
        taken = take_backup(home, tmp_path / "kept", at_ms=AT_MS)
    with closing(sqlite3.connect(taken.path / "home/mlflow.db")) as copy:
        assert copy.execute("SELECT name FROM runs WHERE n = 3").fetchall() == [("in the journal",)]


def test_paths_in_mlflows_records_name_the_new_home(home, made, tmp_path):
    taken = take_backup(home, tmp_path / "kept", at_ms=AT_MS)
    as_it_was = read_backup(taken.path).model_copy(update={"root": str(made.root)})
    (taken.path / "backup.json").write_text(as_it_was.model_dump_json())
    put_back(taken.path, tmp_path / "back")
    with closing(sqlite3.connect(tmp_path / "back/mlflow.db")) as tracked:
        found = tracked.execute("SELECT * FROM runs ORDER BY n").fetchall()
    artifacts = Layout(tmp_path / "back").artifacts
    assert found == [(f"{artifacts.as_uri()}/1", "beside", 1), (str(artifacts), "here/x", 2)]


def test_a_second_backup_links_what_has_not_changed(home, tmp_path):
    first = take_backup(home, tmp_path / "kept", at_ms=AT_MS)
    write_deltalake(home.events("payments"), rows(4), mode="append")
    second = take_backup(home, tmp_path / "kept", at_ms=AT_MS + 1)
    assert (first.linked, backups_in(tmp_path / "kept")) == (0, [first.path, second.path])
    new = second.backup.files.keys() - first.backup.files.keys()
    assert second.linked == len(second.backup.files) - len(new) - 1  # the database is made anew
    shutil.rmtree(first.path)
    put_back(second.path, tmp_path / "back")
    assert contents(Layout(tmp_path / "back")) == [1, 2, 3, 4]


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_backup_is_not_put_back(home, tmp_path, damage):
    taken = take_backup(home, tmp_path / "kept", at_ms=AT_MS)
    file = taken.path / "home/shelf/channels.json"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes().replace(b"1", b"2", 1))
    assert faults_of(taken.path, taken.backup) == [f"home/shelf/channels.json: {damage}"]
    with pytest.raises(IntegrityError, match=f"channels.json: {damage}"):
        put_back(taken.path, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_list_that_names_places_outside_is_refused(home, tmp_path):
    taken = take_backup(home, tmp_path / "kept", at_ms=AT_MS)
    listed = json.loads((taken.path / "backup.json").read_text())
    (tmp_path / "kept/outside").write_text("x")
    kept = listed["files"].pop("home/state/home_id")
    outside = (tmp_path / "kept/outside").stat()
    digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    listed["files"]["home/../../outside"] = {**kept, "size": outside.st_size, "sha256": digest}
    (taken.path / "backup.json").write_text(json.dumps(listed))
    with pytest.raises(IntegrityError, match="outside"):
        put_back(taken.path, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_nothing_is_written_over(home, tmp_path):
    taken = take_backup(home, tmp_path / "kept", at_ms=AT_MS)
    with pytest.raises(InvalidInputError, match="not empty"):
        put_back(taken.path, home.root)
    with pytest.raises(InvalidInputError, match="no backup"):
        put_back(tmp_path / "kept", tmp_path / "back")
    with pytest.raises(InvalidInputError, match="within"):
        take_backup(home, home.root / "kept", at_ms=AT_MS)
    with pytest.raises(NotReadyError, match="nothing to back up"):
        take_backup(Layout(tmp_path / "none"), tmp_path / "kept", at_ms=AT_MS)


def test_a_backup_that_was_killed_is_none_and_goes_with_the_next(home, tmp_path):
    left = tmp_path / "kept/.under-way-2023"
    left.mkdir(parents=True)
    assert backups_in(tmp_path / "kept") == []
    take_backup(home, tmp_path / "kept", at_ms=AT_MS)
    assert not left.exists()


def test_a_lake_that_lies_apart_comes_back_below_the_home(home, tmp_path):
    lake = tmp_path / "lake"
    shutil.move(home.root / "lake", lake)
    taken = take_backup(Layout(home.root, str(lake)), tmp_path / "kept", at_ms=AT_MS)
    put_back(taken.path, tmp_path / "back")
    assert contents(Layout(tmp_path / "back")) == [1, 2, 3]


def test_a_list_made_anew_agrees_with_files_rewritten_on_purpose(home, tmp_path):
    taken = take_backup(home, tmp_path / "kept", at_ms=AT_MS)
    rewritten = taken.path / "home/log/payments/1.open"
    rewritten.unlink()  # as a file that others link to is rewritten: by another in its place
    rewritten.write_text("nobody")
    (taken.path / "home/state/home_id").unlink()
    renewed = renew_list(taken.path)
    assert faults_of(taken.path, renewed) == []
    assert len(renewed.files) == len(taken.backup.files) - 1
    assert (home.log_dir("payments") / "1.open").read_text() == "log/payments/1.open"
