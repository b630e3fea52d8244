"""``throughline forget``: one is gone from everywhere, others are as they were; it is proved."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from bundles import serve
from deltalake import DeltaTable
from dying_forget import NOW_MS, PROJECT
from planted_people import plant
from redis import Redis
from servers import redis_server

from core.clock import FixedClock
from core.erasing.erasure import Tombstone
from core.erasing.sought import MASKED, Sought
from core.errors import DependencyError, IntegrityError, InvalidInputError
from core.features.blob import base_key
from core.features.keys import entity_key
from orchestration import cli
from orchestration.commands import forget
from orchestration.erasing.forgetting import Erasing
from orchestration.settings import ErasureSettings, Settings
from orchestration.shell import Shell
from stores.audit.log import AuditLog
from stores.backups import backups_in, faults_of, read_backup, take_backup
from stores.cold.tier import ColdTier
from stores.erasing.erasures import Erasures, verified
from stores.erasing.online import erase_online
from stores.erasing.scanning import scan_tree, scan_values
from stores.erasing.tombstones import Tombstones
from stores.holds import Holds
from stores.home_id import home_id
from stores.keys.signing import KeyRing
from stores.masking import ensure_mask
from stores.online.redis import all_pairs
from stores.shelf.shelf import Shelf
from stores.sweeping import files_of_bundle

PEOPLE = [f"card-{number:02}-ö{number * 7919}" for number in range(20)]
THEIRS = PEOPLE[3]


@pytest.fixture
def settings(tmp_path):
    settings = Settings(home=tmp_path / "home", environment="test")
    plant(settings.layout, PEOPLE[:4])
    return settings


def called(settings, *words, person=THEIRS):
    command = next(command for command in cli.COMMANDS if command.name == "forget")
    is_about = words[:1] not in (("verify",), ("list",))
    given = [*words, "--entity", f"card_id={person}"] if is_about else words
    out = StringIO()
    shell = Shell(settings, clock=FixedClock(NOW_MS), out=out)
    code = forget.run(cli.parser_of(command).parse_args(given), shell)
    assert person not in out.getvalue()
    return code, out.getvalue()


@pytest.mark.parametrize(
    ("key", "hint"), [("card", "did you mean card_id?"), ("zzz", "name one of these")]
)
def test_a_key_that_no_entity_declares_is_refused_with_those_there_are(settings, key, hint):
    command = next(command for command in cli.COMMANDS if command.name == "forget")
    told = cli.parser_of(command).parse_args(["--entity", f"{key}={THEIRS}", "--why", "a letter"])
    with pytest.raises(InvalidInputError) as refused:
        forget.run(told, Shell(settings, clock=FixedClock(NOW_MS), out=StringIO()))
    assert refused.value.code == "unknown_join_key"
    said = str(refused.value)
    assert "card_id" in said
    assert "terminal_id" in said
    assert said.endswith(hint)
    assert f"{key}=" not in said
    assert THEIRS not in said
    assert Erasures(settings.layout).all() == []


def certificate_in(said):
    return Path(said.partition("certificate: ")[2].splitlines()[0])


def sightings(root, person):
    """Where somebody stands, in words that two people share."""
    found = scan_tree(root, Sought(person))
    return sorted((s.place.replace(person, "?"), s.part, s.encoding) for s in found)


def in_places(found):
    """Folders of tables and bundles, other files by name, each with how it was encoded there."""
    return {"/".join(place.split("/")[: 4 if place[0] == "s" else 3]) for place, _, _ in found}


def left_of(settings, person):
    sought = Sought(person, [ensure_mask(settings.layout.keys).of(person)])
    papers = (str(settings.layout.erasure), str(settings.layout.audit))
    root = settings.layout.root
    return [s for s in scan_tree(root, sought) if not str(root / s.place).startswith(papers)]


def test_one_is_gone_and_all_others_are_as_they_were(settings, tmp_path):
    root = settings.layout.root
    take_backup(settings.layout, tmp_path / "backups", at_ms=1)
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "mail.txt").write_text(f"{THEIRS} and {PEOPLE[0]}\n")
    before = {person: sightings(root, person) for person in PEOPLE[:3]}
    assert left_of(settings, THEIRS)
    named = ErasureSettings(backups=(tmp_path / "backups",))
    words = ("--why", "asked in a letter", "--also", str(tmp_path / "named"))
    code, said = called(settings.model_copy(update={"erasure": named}), *words)
    assert code == 0, said
    assert left_of(settings, THEIRS) == []
    for folder in ("backups", "named"):
        assert sightings(tmp_path / folder, THEIRS) == []
        assert sightings(tmp_path / folder, PEOPLE[0])
    for person, there in before.items():
        # Bundle 2 held all of them, and went as a whole. A table keeps the same in other files.
        assert in_places(sightings(root, person)) == in_places(there) - {"shelf/releases/toy/2"}
    backup = backups_in(tmp_path / "backups")[-1]
    assert faults_of(backup, read_backup(backup)) == []


@pytest.fixture
def cold(settings, tmp_path):
    """The home with its landed files, and the bundle that names everybody, in the cold tier."""
    (tmp_path / "cold").mkdir()
    tier = ColdTier(settings.layout, str(tmp_path / "cold"))
    for path in sorted(settings.layout.landing_dir("payments").iterdir()):
        move_as(tier, "landing/payments", path.name, [path])
    bundle = Shelf(settings.layout.shelf).bundle("toy", 2)
    move_as(tier, "bundles/toy", "2", files_of_bundle(bundle))
    return tier


def move_as(tier, target, name, files):
    tier.move(target, name, lambda: files, born_ms=1, why="old", now_ms=NOW_MS)


def test_one_is_gone_from_the_cold_tier_and_the_others_are_there(settings, cold):
    landed = Path(cold.uri) / home_id(settings.layout) / "landing"
    before = {person: files_with(landed, person) for person in PEOPLE[:4]}
    assert {n_files for n_files, _ in before.values()} == {3}
    code, said = called(settings, "--why", "asked in a letter")
    assert code == 0, said
    certificate = verified(certificate_in(said), KeyRing.from_directory(settings.layout.keys))
    done = {step.name: step.counts for step in certificate.steps}
    assert done["cold landing/payments"]["records"] >= 3  # one in each file, in many encodings
    assert done["cold bundles/toy"] == {"bundles": 1}
    assert certificate.searched["cold_files"] == 3
    assert sightings(Path(cold.uri), THEIRS) == []
    assert Shelf(settings.layout.shelf).releases("toy") == (1, 3)
    for person in PEOPLE[:3]:
        assert files_with(landed, person) == before[person]
    assert {paper.name for paper in cold.papers()} == {"a.csv", "a.ndjson", "a.parquet"}
    for paper in cold.papers():
        with cold.fetched(paper) as files:  # what the paper says of it holds
            assert files[0].name == paper.name


def files_with(folder, person):
    """In how many files somebody stands, and in which encodings, whatever these are called."""
    found = sightings(folder, person)
    return len({place for place, _, _ in found}), {encoding for _, _, encoding in found}


def test_who_stands_in_the_cold_tier_is_found_there(settings, cold, tmp_path):
    stray = tmp_path / "cold" / home_id(settings.layout) / "stray"
    stray.write_text(THEIRS)
    code, said = called(settings, "--why", "asked in a letter")
    assert code == 1
    assert f"{stray}: bytes, utf-8, 1 times" in said
    (tmp_path / "cold").rename(tmp_path / "away")
    with pytest.raises(DependencyError, match="no folder at"):
        called(settings, "--why", "asked in a letter")


def test_a_certificate_says_what_was_done_and_verifies(settings):
    _, said = called(settings, "--why", "asked in a letter", "--who", "Ada")
    path = certificate_in(said)
    ring = KeyRing.from_directory(settings.layout.keys)
    certificate = verified(path, ring)
    done = {step.name: step.counts for step in certificate.steps}
    assert done["log/payments"] == {"log_records": 5}
    assert done["table events/payments"] == {"rows": 1, "partitions": 1, "purged_files": 1}
    assert done["online"] == {"online_keys": 3}
    assert done["bundles"] == {"bundles": 1}
    assert done["folder records"] == {"records": 2}
    assert [(m.release, m.is_served, m.flag) for m in certificate.models] == [
        (1, True, "retrain"),
        (2, False, "retrain"),
    ]
    assert [m.release for m in Erasures(settings.layout).flagged("toy")] == [1, 2]
    assert certificate.left == ()
    assert certificate.searched["files"] > 40
    assert called(settings, "verify", str(path))[0] == 0
    assert "over" in called(settings, "list")[1]
    changed = json.loads(path.read_text())
    changed["certificate"]["left"] = ["x"]
    path.write_text(json.dumps(changed))
    with pytest.raises(IntegrityError, match="does not fit the bytes"):
        called(settings, "verify", str(path))


def test_the_audit_log_names_a_token_and_stays_whole(settings):
    called(settings, "--why", "asked in a letter", "--who", "Ada")
    log = AuditLog.of(settings.layout, is_signing=True)
    records = log.latest(9)
    assert [record.what for record in records][-2:] == ["forgetting", "forgotten"]
    assert records[-1].about["token"] == ensure_mask(settings.layout.keys).of(THEIRS)
    assert log.verify(KeyRing.from_directory(settings.layout.keys)).is_whole
    assert scan_tree(settings.layout.audit, Sought(THEIRS)) == []


def test_a_dry_run_changes_nothing(settings):
    files = {p: p.read_bytes() for p in settings.layout.root.rglob("*") if p.is_file()}
    code, said = called(settings, "--dry-run")
    assert code == 0
    assert "lake/events/payments" in said
    assert "release 1 of toy was trained on it: retrain" in said
    after = {p: p.read_bytes() for p in settings.layout.root.rglob("*") if p.is_file()}
    changed = {path.name for path in after if after[path] != files.get(path)}
    assert {name.rpartition("-")[2] for name in changed} <= {"shm", "wal"}  # of who only reads
    assert Tombstones(settings.layout).forgotten() is None


class Killed(BaseException):
    """As sudden as kill -9 to whoever is at work: nothing is cleaned up after it."""


def test_it_goes_on_from_every_step_that_it_was_killed_in(settings):
    token = ensure_mask(settings.layout.keys).of(THEIRS)
    sought = Sought(THEIRS, [token])
    stone = Tombstone(key="card_id", token=token, at_ms=NOW_MS)
    erasing = Erasing(settings, sought, stone, use_cases=["toy"])
    names = [step.name for step in erasing.steps()]
    for number in range(len(names)):
        dying = DiesAfter(settings, sought, stone, use_cases=["toy"], dies_after=names[number])
        with pytest.raises(Killed):
            dying.run(who="Ada", why="a letter", now_ms=lambda: NOW_MS)
        journal = Erasures(settings.layout).journal(stone.erasure_id)
        assert journal is not None
        assert [step.name for step in journal.done] == names[:number]
    certificate, _ = erasing.run(who="Ada", why="a letter", now_ms=lambda: NOW_MS)
    assert certificate.is_complete
    assert [step.name for step in certificate.steps] == names
    assert left_of(settings, THEIRS) == []
    assert [m.release for m in certificate.models] == [1, 2]


@dataclass(frozen=True)
class DiesAfter(Erasing):
    """Dies when the named step has done its work and nothing is said of it yet."""

    dies_after: str = ""

    def steps(self):
        return [
            replace_run(step) if step.name == self.dies_after else step for step in super().steps()
        ]


def replace_run(step):
    def run():
        step.run()
        raise Killed

    return step.__class__(step.name, step.target, run)


@pytest.mark.parametrize(
    ("target", "step"),
    [("events/payments", "table events/payments"), ("bundles/toy", "bundles")],
)
def test_a_hold_keeps_what_it_covers_until_it_is_lifted(settings, target, step):
    holds = Holds(settings.layout)
    hold = holds.place(target, who="Lee", why="case 7", now_ms=1, until_ms=NOW_MS * 2)
    code, said = called(settings, "--why", "asked in a letter")
    assert code == 1
    assert f"held: {step}, legal hold {hold.hold_id}" in said
    is_whole = DeltaTable(settings.layout.events("payments")).version() == 1
    assert is_whole == (target == "events/payments")
    assert (2 in Shelf(settings.layout.shelf).releases("toy")) == (target == "bundles/toy")
    holds.lift(hold.hold_id, who="Lee", why="over", now_ms=2)
    assert called(settings, "--why", "asked in a letter")[0] == 0


def test_a_bundle_that_serves_is_left_and_said_to_be(settings):
    serve(settings.layout, 2, counter=2)
    code, said = called(settings, "--why", "asked in a letter")
    assert code == 1
    assert "releases/toy/2/bundle" in said
    assert 2 in Shelf(settings.layout.shelf).releases("toy")


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("--why", f"forget {THEIRS}"), "kept for good"),
        ((), "no --why"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is(settings, words, match):
    with pytest.raises(InvalidInputError, match=match):
        called(settings, *words)
    assert Tombstones(settings.layout).all() == []


@pytest.mark.slow
def test_twenty_people_are_forgotten_one_after_the_other(tmp_path):
    settings = Settings(home=tmp_path / "home", environment="test")
    plant(settings.layout, PEOPLE)
    gone, there = PEOPLE[::2], PEOPLE[1::2]
    for person in gone:
        assert called(settings, "--why", "asked in a letter", person=person)[0] == 0
    assert [left_of(settings, person) for person in gone] == [[]] * 10
    for person in there:
        encodings = {sighting.encoding for sighting in left_of(settings, person)}
        assert encodings >= {"utf-8", "utf-16-le", "hex", "base64", "url", MASKED}
    for person in there:
        assert called(settings, "--why", "asked in a letter", person=person)[0] == 0
    assert [left_of(settings, person) for person in PEOPLE] == [[]] * 20


@pytest.mark.redis
def test_keys_of_one_go_from_a_redis_and_those_of_others_stay(settings):
    with tempfile.TemporaryDirectory(prefix="tl") as folder, redis_server(Path(folder)) as server:
        online = settings.model_copy(update={"online_url": server.url})
        with Redis(port=server.port) as client:
            for person in (THEIRS, f"{THEIRS}0", PEOPLE[0]):
                client.set(base_key("card_v1", entity_key([person])), b"packed")
                client.set(base_key("pair_v1", entity_key(["t9", person])), b"packed")
                client.set(f"claim/event/payments/{person}", b"digest")
            code, said = called(online, "--why", "asked in a letter")
            assert code == 0, said
            assert "online: 3 online keys" in said
            assert "6 online values" in said
            assert client.dbsize() == 6
            client.set("base{terminal_v1/x}", f"of {THEIRS}")
            code, said = called(online, "--why", "asked in a letter")
            assert code == 1
            assert "left in online store: value, utf-8, 1 times" in said


@pytest.mark.redis
def test_no_value_of_a_redis_holds_any_of_twenty_who_were_forgotten():
    with (
        tempfile.TemporaryDirectory(prefix="tl") as folder,
        redis_server(Path(folder)) as server,
        Redis(port=server.port) as client,
    ):
        for person in (*PEOPLE, f"{PEOPLE[0]}0"):
            client.set(base_key("card_v1", entity_key([person])), b"packed")
            client.set(f"claim/event/payments/{person}", b"digest")
        sought = [Sought(person) for person in PEOPLE]
        assert all(scan_values("online", all_pairs(server.url), each) for each in sought)
        assert [erase_online(server.url, each) for each in sought] == [2] * 20
        assert not any(scan_values("online", all_pairs(server.url), each) for each in sought)
        assert len(list(all_pairs(server.url))) == 2


def killed_at(settings, sync):
    """Exit code of a process that forgets and dies at its n-th sync, if it comes so far."""
    point = f"fsync:{sync}"
    program = [sys.executable, "-m", "tests.support.dying_forget", settings.home, THEIRS, point]
    return subprocess.run(program, cwd=PROJECT, capture_output=True, timeout=120).returncode


@pytest.mark.slow
def test_kill_9_between_two_writes_leaves_nothing_that_the_next_run_does_not_finish(settings):
    for sync in (4, 25):
        assert killed_at(settings, sync) == -signal.SIGKILL
    code, said = called(settings, "--why", "asked in a letter")
    assert code == 0, said
    assert "going on with what was cut short" in said
    assert left_of(settings, THEIRS) == []
