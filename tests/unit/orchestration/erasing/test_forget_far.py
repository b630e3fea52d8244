"""``throughline forget`` on S3, tables, segments and cold tier: killed, gone on with, proved."""

from __future__ import annotations

import signal
import subprocess
import sys
from functools import partial
from io import StringIO

import obstore
import pytest
from deltalake import DeltaTable
from dying_forget import NOW_MS, PROJECT
from planted_people import plant
from s3_server import BUCKET, s3_server

from core.clock import FixedClock
from core.erasing.sought import MASKED, Sought
from orchestration import cli
from orchestration.commands import forget, subject
from orchestration.settings import Settings
from orchestration.shell import Shell
from stores.cold.tier import ColdTier
from stores.erasing.erasures import Erasures
from stores.erasing.scanning import scan_tree
from stores.masking import ensure_mask
from stores.object_stores import object_store_at
from stores.records.shared import open_segments
from stores.shelf.shelf import Shelf
from stores.sweeping import files_of_bundle

pytestmark = pytest.mark.slow
PEOPLE = [f"card-{number:02}-ö{number * 7919}" for number in range(2)]
THEIRS = PEOPLE[1]


@pytest.fixture
def settings(tmp_path, monkeypatch):
    with s3_server(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        uri = f"s3://{BUCKET}"
        settings = Settings(
            home=tmp_path / "home",
            environment="test",
            lake_uri=f"{uri}/lake",
            cold_uri=f"{uri}/cold",
        )
        plant(settings.layout, PEOPLE)
        _make_cold(settings)
        _set_aside(settings)
        yield settings


def _make_cold(settings):
    """Landed files, and the bundle that names everybody, in the cold tier."""
    tier, landing = ColdTier(settings.layout, settings.cold_uri), "landing/payments"
    things = {(landing, path.name): [path] for path in landed_files(settings)}
    bundle = Shelf(settings.layout.shelf).bundle("toy", 2)
    for (target, name), files in {**things, ("bundles/toy", "2"): files_of_bundle(bundle)}.items():
        tier.move(target, name, partial(list, files), born_ms=1, why="old", now_ms=1)


def landed_files(settings):
    return sorted(settings.layout.landing_dir("payments").iterdir())


def _set_aside(settings):
    """A damaged segment beside the whole one, and an object that no declaration knows."""
    store = open_segments(settings.layout.segments("toy"))
    segment = store.waiting()[0]
    damaged = f"{segment.name.partition('-')[0]}-9.sealed"
    store.put(damaged, store.read(segment.name))
    store.set_aside(damaged)
    lake = object_store_at(settings.lake_uri, named="", code="")
    obstore.put(lake, "staging/left", f"of {' and '.join(PEOPLE)}".encode("utf-16-le"))


def bucket_in(settings, folder):
    """Every object of the bucket as a file, its name kept."""
    store = object_store_at(f"s3://{BUCKET}", named="", code="")
    names = [entry["path"] for page in store.list() for entry in page]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(store.get(name).bytes()))
    return names


def encodings_of(settings, folder, person):
    """In which encodings somebody stands in the bucket, below each of its first folders."""
    sought = Sought(person, [ensure_mask(settings.layout.keys).of(person)])
    found: dict[str, set[str]] = {}
    for each in scan_tree(folder, sought):
        found.setdefault(each.place.partition("/")[0], set()).add(each.encoding)
    return found


def killed_at(settings, point):
    """Names of the steps that are done when a process was killed at a write to the bucket."""
    words = [settings.home, THEIRS, point, settings.lake_uri, settings.cold_uri]
    program = [sys.executable, "-m", "tests.support.dying_forget", *words]
    ended = subprocess.run(program, cwd=PROJECT, capture_output=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    journal = Erasures(settings.layout).all()[0]
    return [step.name for step in journal.done]


def forgotten(settings):
    command = next(command for command in cli.COMMANDS if command.name == "forget")
    words = ["--entity", f"card_id={THEIRS}", "--why", "asked in a letter"]
    out = StringIO()
    shell = Shell(settings, clock=FixedClock(NOW_MS), out=out)
    return forget.run(cli.parser_of(command).parse_args(words), shell), out.getvalue()


def sought(settings):
    command = next(command for command in cli.COMMANDS if command.name == "subject")
    words = ["--entity", f"card_id={THEIRS}", "--expect-none"]
    out = StringIO()
    return subject.run(cli.parser_of(command).parse_args(words), Shell(settings, out=out)), out


def test_killed_at_a_write_to_s3_and_run_again_one_is_gone_from_every_object(settings, tmp_path):
    before = bucket_in(settings, tmp_path / "before")
    stood = {each: encodings_of(settings, tmp_path / "before", each) for each in PEOPLE}
    assert stood[THEIRS]["lake"] >= {"utf-8", "utf-16-le", "hex", "base64", "url", MASKED}
    assert stood[THEIRS]["cold"] >= {"utf-8"}

    code, out = sought(settings)
    assert code == 1
    assert f"{settings.lake_uri}/" in out.getvalue()
    done = killed_at(settings, "delete:3")  # the log of the first table, half shortened
    assert done[-1].startswith("log/")
    code, said = forgotten(settings)

    assert code == 0, said
    assert sought(settings)[0] == 0  # which reads the same objects, and found them before
    assert "going on with what was cut short" in said
    assert "lake object" in said
    after = bucket_in(settings, tmp_path / "after")
    assert encodings_of(settings, tmp_path / "after", THEIRS) == {}
    assert encodings_of(settings, tmp_path / "after", PEOPLE[0]) == stood[PEOPLE[0]]
    logs = [name for name in before if "/_delta_log/" in name and name.endswith(".json")]
    assert not set(logs) & set(after)  # those that told of files which named them
    rows = DeltaTable(settings.layout.events("payments")).to_pyarrow_table()["card_id"].to_pylist()
    assert rows == [PEOPLE[0]]
    assert not list(settings.layout.cold.glob(".scratch-*"))
