"""The cold tier: what is moved is whole here or whole there, wherever the mover is killed."""

from __future__ import annotations

import linecache
import shutil
import sys
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from s3_server import BUCKET, s3_server

from core.clock import DAY_MS
from core.errors import (
    ConfigurationError,
    DependencyError,
    IntegrityError,
    InvalidInputError,
    NotReadyError,
)
from stores.cold import papers as cold_papers
from stores.cold import places as cold_places
from stores.cold import tier as cold
from stores.cold.places import open_cold
from stores.cold.tier import LOAN_DAYS, MARK, ColdTier
from stores.layout import Layout

TARGET, NAME = "bundles/toy", "3"
CONTENT = {"shelf/a.bin": b"one" * 1_000, "shelf/b.bin": b"two"}
NOW_MS = 10 * DAY_MS
CHANGES = ("put(", "_write(", "unlink(", "replace(", "remove(", "rmtree(", "mkdir(")
TRACED = {module.__file__ for module in (cold, cold_papers, cold_places)}


class Killed(BaseException):
    """As sudden as kill -9 to whoever is at work."""


def tier_in(folder, place="place"):
    """A home with two files, and an empty place to move them to."""
    layout = Layout(folder / "home").create()
    uri = str(folder / place) if "://" not in place else place
    if "://" not in uri:
        Path(uri).mkdir()
    for path, content in CONTENT.items():
        (layout.root / path).write_bytes(content)
    return ColdTier(layout, uri)


def moved(tier):
    paths = [tier.layout.root / path for path in CONTENT]
    return tier.move(TARGET, NAME, lambda: paths, born_ms=5, why="old", now_ms=NOW_MS)


def here(tier):
    return {
        path: (tier.layout.root / path).read_bytes()
        for path in CONTENT
        if (tier.layout.root / path).exists()
    }


def there(tier):
    """What lies in the cold tier by its papers, each compared by digest."""
    found: dict[str, bytes] = {}
    for paper in tier.papers():
        if paper.is_whole:
            with tier.fetched(paper) as files:
                found |= {f.path: c.read_bytes() for f, c in zip(paper.files, files, strict=True)}
    return found


def keys_of(tier):
    return open_cold(tier.uri).keys("")


@pytest.fixture
def tier(tmp_path):
    return tier_in(tmp_path)


def test_what_is_moved_is_there_and_not_here_and_a_paper_says_so(tier):
    paper = moved(tier)
    assert (here(tier), there(tier)) == ({}, CONTENT)
    assert [tuple(piece) for piece in tier.pieces(TARGET)] == [
        (MARK + paper.paper_id, 5, 3_003, 0, "", None, True)
    ]
    assert tier.papers() == [paper]
    assert (paper.why, paper.moved_at_ms, paper.place) == ("old", NOW_MS, tier.uri)
    assert tier.pieces("bundles/other") == []


def test_what_may_not_move_any_more_does_not(tier):
    assert tier.move(TARGET, NAME, list, born_ms=5, why="old", now_ms=NOW_MS) is None
    assert (here(tier), tier.papers()) == (CONTENT, [])


def test_what_is_brought_back_stays_some_days_and_goes_again(tier):
    paper = tier.bring(moved(tier).paper_id, now_ms=NOW_MS)
    assert here(tier) == CONTENT
    assert (tier.layout.root / "shelf/a.bin").stat().st_mtime_ns == paper.files[0].mtime_ns
    tier.settle(NOW_MS + LOAN_DAYS * DAY_MS - 1)
    assert here(tier) == CONTENT
    tier.settle(NOW_MS + LOAN_DAYS * DAY_MS)
    assert (here(tier), there(tier)) == ({}, CONTENT)
    assert tier.papers()[0].here_until_ms is None


def test_what_is_taken_back_is_here_for_good_and_leaves_nothing_there(tier):
    moved(tier)
    assert [paper.name for paper in tier.take_back(TARGET, NAME)] == [NAME]
    tier.settle(NOW_MS + 1_000 * DAY_MS)
    assert (here(tier), tier.papers(), keys_of(tier)) == (CONTENT, [], [])
    assert tier.take_back(TARGET, NAME) == []


def test_a_file_that_was_changed_meanwhile_stays_and_is_not_written_over(tier):
    paper = moved(tier)
    (tier.layout.root / "shelf/a.bin").write_bytes(b"another")
    tier.settle(NOW_MS)
    assert here(tier) == {"shelf/a.bin": b"another"}
    with pytest.raises(InvalidInputError, match="another file stands"):
        tier.bring(paper.paper_id, now_ms=NOW_MS)
    assert here(tier) == {"shelf/a.bin": b"another"}


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_copy_is_not_brought_back_and_lets_nothing_go(tier, damage):
    paper = moved(tier)
    place = Path(tier.uri) / paper.files[1].key
    place.write_bytes(b"twO") if damage == "changed" else place.unlink()
    with pytest.raises(IntegrityError, match="cold tier is not"):
        tier.bring(paper.paper_id, now_ms=NOW_MS)
    assert here(tier) == {}
    (tier.layout.root / "shelf/a.bin").write_bytes(CONTENT["shelf/a.bin"])
    with pytest.raises(IntegrityError, match="cold tier is not"):
        tier.settle(NOW_MS + LOAN_DAYS * DAY_MS)
    assert list(here(tier)) == ["shelf/a.bin"]


def test_a_place_that_is_not_mounted_is_not_an_empty_one(tier):
    paper = moved(tier)
    Path(tier.uri).rename(f"{tier.uri}.away")
    for verb in (lambda: tier.remove(paper.paper_id), lambda: tier.settle(NOW_MS)):
        with pytest.raises(DependencyError, match="no folder at"):
            verb()
    Path(f"{tier.uri}.away").rename(tier.uri)
    tier.settle(NOW_MS)  # a removal that had begun is finished
    assert (tier.papers(), keys_of(tier)) == ([], [])


def test_an_unknown_id_and_an_unknown_store_are_refused(tier):
    with pytest.raises(NotReadyError, match="nothing of that id"):
        tier.bring("0" * 32, now_ms=NOW_MS)
    with pytest.raises(ConfigurationError, match="the cold tier's address"):
        open_cold("nonsense://x")


def test_scratch_folders_in_use_outlive_a_sweep_and_those_of_the_dead_do_not(tier):
    paper = moved(tier)
    dead = tier.layout.cold / ".scratch-of-a-dead-one"
    dead.mkdir()
    (dead / "a.bin").write_bytes(b"half")
    with tier.fetched(paper) as files:
        tier.settle(NOW_MS)
        assert [file.read_bytes() for file in files] == list(CONTENT.values())
        assert not dead.exists()
    assert not list(tier.layout.cold.glob(".scratch-*"))


def die_at(number):
    """Die before the numbered line of the cold tier's code that changes anything."""
    seen = count()

    def at_line(frame, event, _):
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and any(word in line for word in CHANGES) and next(seen) == number:
            raise Killed
        return at_line

    sys.settrace(lambda frame, *_: at_line if frame.f_code.co_filename in TRACED else None)


def killed(work, number):
    """Whether some work died before its numbered change."""
    former = sys.gettrace()
    die_at(number)
    try:
        work()
    except Killed:
        return True
    finally:
        sys.settrace(former)
    return False


def rewritten(tier, folder):
    paper = tier.papers()[0]
    files = [folder / "a.bin", folder / "b.bin"]
    for file in files:
        file.write_bytes(b"blank " + file.name.encode())
    tier.rewrite(paper, files)


VERBS = {
    "move": lambda tier, _: moved(tier),
    "bring": lambda tier, _: tier.bring(tier.papers()[0].paper_id, now_ms=NOW_MS),
    "take_back": lambda tier, _: tier.take_back(TARGET, NAME),
    "settle": lambda tier, _: tier.settle(NOW_MS),
    "rewrite": rewritten,
    "remove": lambda tier, _: tier.remove(tier.papers()[0].paper_id),
}


@pytest.mark.parametrize("verb", VERBS)
def test_killed_before_any_change_nothing_is_lost_and_it_can_be_done_again(tmp_path, verb):
    made = tier_in(tmp_path / "made")
    if verb != "move":
        moved(made)
    if verb == "settle":
        made.bring(made.papers()[0].paper_id, now_ms=0)
    is_killed, number = True, 0
    while is_killed:
        folder = shutil.copytree(tmp_path / "made", tmp_path / str(number))
        tier = CopiedTier(Layout(folder / "home"), str(folder / "place"))
        is_killed = killed(partial(VERBS[verb], tier, tmp_path), number)
        assert_nothing_is_lost(tier, verb)
        if is_killed:
            tier.settle(NOW_MS)
            assert_nothing_is_lost(tier, verb)
            if here(tier) if verb == "move" else tier.papers():
                VERBS[verb](tier, tmp_path)
        assert_done(tier, verb)
        number += 1
    assert number >= 4


def assert_nothing_is_lost(tier, verb):
    if verb not in ("rewrite", "remove"):
        assert here(tier) | there(tier) == CONTENT


def assert_done(tier, verb):
    is_here, is_there = {
        "move": ({}, CONTENT),
        "bring": (CONTENT, CONTENT),
        "take_back": (CONTENT, {}),
        "settle": ({}, CONTENT),
        "rewrite": ({}, {path: b"blank " + path[6:].encode() for path in CONTENT}),
        "remove": ({}, {}),
    }[verb]
    assert (here(tier), there(tier)) == (is_here, is_there)
    named = sorted(file.key for paper in tier.papers() for file in paper.files)
    assert keys_of(tier) == named
    assert not list(tier.layout.cold.glob(".scratch-*"))


class CopiedTier(ColdTier):
    """The tier of a copied world, whose papers name the place of the one it is a copy of."""

    def place_of(self, paper):
        del paper
        return open_cold(self.uri)


@pytest.mark.slow
def test_it_is_the_same_in_an_object_store(tmp_path, monkeypatch):
    with s3_server(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        tier = tier_in(tmp_path, f"s3://{BUCKET}/cold")
        paper = moved(tier)
        assert (here(tier), there(tier), len(keys_of(tier))) == ({}, CONTENT, 2)
        tier.bring(paper.paper_id, now_ms=NOW_MS)
        tier.settle(NOW_MS + LOAN_DAYS * DAY_MS)
        assert (here(tier), there(tier)) == ({}, CONTENT)
        rewritten(tier, tmp_path)
        assert_done(tier, "rewrite")
        open_cold(tier.uri).remove(paper.files[0].key)  # is not there: nothing happens
        tier.remove(paper.paper_id)
        assert keys_of(tier) == []
        with pytest.raises(IntegrityError, match="not there"):
            list(open_cold(tier.uri).chunks(paper.files[0].key))
