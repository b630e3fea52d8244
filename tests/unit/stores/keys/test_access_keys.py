from __future__ import annotations

import signal
import subprocess
import sys
import threading
from functools import partial

import pytest
from dying_writes import dies_at

from core.access import RateLimit, parsed_scopes, read_key, standing
from core.errors import ConfigurationError, IntegrityError, InvalidInputError
from stores.keys.access_keys import AccessKeyFile

SAID = {"who": "ada", "why": "for the test"}
SCOPES = parsed_scopes(["fraud:predict"])
# The process is killed where a power cut would hurt most: new bytes written, not yet in place.
KILLED_IN_A_WRITE = """
import os, signal, sys
from pathlib import Path
from stores.keys.access_keys import AccessKeyFile
Path.replace = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
AccessKeyFile(Path(sys.argv[1])).revoke(sys.argv[2], who="eve", why="", now_ms=9)
"""


@pytest.fixture
def file(tmp_path):
    return AccessKeyFile(tmp_path / "access")


def made(file, now_ms=1, **more):
    return parts(file.create(owner="shop", scopes=SCOPES, now_ms=now_ms, **SAID, **more))


def parts(key):
    """Id and secret of a key."""
    found = read_key(key)
    assert found is not None
    return found


def audited(file):
    return file.audit.latest(100)


def test_a_home_without_keys_has_none_and_its_counter_is_0(file):
    assert (file.read().counter, file.read().keys, file.stamp()) == (0, (), None)
    assert not file.path.exists()


def test_a_key_that_was_made_opens_and_its_secret_is_nowhere_on_the_disk(file):
    rate = RateLimit(per_s=2, burst=5)
    key_id, secret = made(file, rate=rate, daily_quota=9)
    key, why = standing(file.read().by_id(), key_id, secret, 2)
    assert key is not None
    assert (why, key.owner, key.scopes) == ("good", "shop", SCOPES)
    assert (key.rate, key.daily_quota) == (rate, 9)
    for path in file.path.parents[1].rglob("*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes(), path


def test_files_are_for_their_owner_alone(file):
    made(file)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700


def test_after_a_rotation_both_secrets_hold_until_the_overlap_ends(file):
    key_id, old = made(file)
    _, new = parts(file.rotate(key_id, overlap_ms=10, now_ms=5, **SAID))
    keys = file.read().by_id()
    assert [standing(keys, key_id, s, 14)[1] for s in (old, new)] == ["good", "good"]
    assert [standing(keys, key_id, s, 15)[1] for s in (old, new)] == ["expired", "good"]


def test_a_second_rotation_ends_the_overlap_of_the_first(file):
    key_id, oldest = made(file)
    file.rotate(key_id, overlap_ms=1_000, now_ms=2, **SAID)
    file.rotate(key_id, overlap_ms=1_000, now_ms=3, **SAID)
    assert standing(file.read().by_id(), key_id, oldest, 4)[1] == "wrong_secret"


def test_a_revoked_key_opens_nothing_and_is_neither_rotated_nor_revoked_again(file):
    key_id, secret = made(file)
    file.revoke(key_id, now_ms=7, **SAID)
    assert standing(file.read().by_id(), key_id, secret, 7)[1] == "revoked"
    with pytest.raises(InvalidInputError, match="opens nothing any more; found 0 keys that do"):
        file.revoke(key_id, now_ms=8, **SAID)
    with pytest.raises(InvalidInputError) as refused:
        file.rotate(key_id, overlap_ms=1, now_ms=8, **SAID)
    assert refused.value.code == "unknown_key"
    assert [entry.what for entry in audited(file)] == ["key_created", "key_revoked"]


def test_every_change_is_audited_with_who_what_when_and_why(file):
    key_id, _ = made(file)
    file.rotate(key_id, overlap_ms=1, now_ms=2, **SAID)
    file.revoke(key_id, now_ms=3, **SAID)
    assert [(e.at_ms, e.what, e.about, e.who, e.why) for e in audited(file)] == [
        (at_ms, what, {"key": key_id}, *SAID.values())
        for at_ms, what in ((1, "key_created"), (2, "key_rotated"), (3, "key_revoked"))
    ]


def test_the_counter_grows_with_every_change_and_after_a_lost_file(file):
    made(file, now_ms=1_000)
    made(file, now_ms=1_000)
    before = file.read().counter
    file.path.unlink()
    made(file, now_ms=2_000)
    assert before == 1_001
    assert file.read().counter > before


def test_keys_made_at_once_are_all_there(file):
    threads = [threading.Thread(target=made, args=(file,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(file.read().by_id()) == 8
    assert file.read().counter == 8


def test_a_change_killed_in_its_write_leaves_the_old_keys_whole(file):
    key_id, secret = made(file)
    before = file.path.read_bytes()
    command = [sys.executable, "-c", KILLED_IN_A_WRITE, str(file.path.parent), key_id]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert file.path.read_bytes() == before
    assert standing(file.read().by_id(), key_id, secret, 9)[1] == "good"
    file.revoke(key_id, now_ms=10, **SAID)  # no lock is left
    assert standing(file.read().by_id(), key_id, secret, 10)[1] == "revoked"


def test_a_file_that_is_not_one_of_keys_is_said_and_not_taken_for_none(file):
    made(file)
    file.path.write_text("{}x")
    with pytest.raises(IntegrityError):
        file.read()


def test_keys_of_another_user_are_said_and_not_taken_for_none(file, monkeypatch):
    made(file)

    def denied(path, *_args, **_more):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(file.path), "exists", denied)
    with pytest.raises(ConfigurationError, match="belong to another user"):
        file.read()


def test_a_home_whose_first_key_was_never_made_starts_as_before_wherever_that_ended(tmp_path):
    for step in range(1, 40):
        file = AccessKeyFile(tmp_path / str(step) / "access")
        has_died = dies_at(step, partial(made, file))
        found = file.read_at_start()
        assert bool(found.counter) == bool(found.keys)
        if not has_died:
            break
        made(file, now_ms=9)
        assert len([key for key in file.read_at_start().keys if key.created_ms == 9]) == 1
    assert (has_died, step > 5) == (False, True)
    file.path.unlink()
    with pytest.raises(IntegrityError, match="have gone"):
        file.read_at_start()


def test_keys_that_have_gone_are_missed_though_another_is_being_made(tmp_path):
    for step in range(1, 40):
        file = AccessKeyFile(tmp_path / str(step) / "access")
        made(file)
        file.path.unlink()
        if not dies_at(step, partial(made, file, now_ms=9)):
            return
        if not file.read().counter:
            with pytest.raises(IntegrityError, match="have gone"):
                file.read_at_start()
    pytest.fail("it never came to an end")


def test_an_empty_file_is_not_taken_for_that_of_a_home_without_keys(file):
    made(file)
    file.path.write_text("{}")
    with pytest.raises(IntegrityError, match="have gone"):
        file.read_at_start()
