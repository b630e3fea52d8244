from __future__ import annotations

import json
from functools import partial

import pytest
from audit_damage import entry

from stores.audit.log import AuditLog
from stores.audit.verified import last_verified
from stores.layout import Layout


@pytest.fixture
def log(tmp_path):
    log = AuditLog.of(Layout(tmp_path).create(), is_signing=True)
    log.append([entry(n) for n in range(1, 9)])
    log.append([entry(9, what="key_revoked")])
    return log


@pytest.fixture
def audit(throughline, tmp_path):
    return partial(throughline, tmp_path, "audit")


def test_a_whole_log_is_said_to_be_whole_and_that_is_put_down(audit, log, tmp_path):
    del log
    said = "whole: 9 records, 9 of them under 2 signed checkpoints\n"
    assert audit("verify", "--public-only") == (0, said)
    assert last_verified(Layout(tmp_path)) is None
    assert audit("verify") == (0, said)
    verified = last_verified(Layout(tmp_path))
    assert verified is not None
    assert (verified.is_whole, verified.n_records) == (True, 9)


def test_a_changed_log_ends_with_4_and_names_the_place(audit, log):
    path = log.directory / "000000000001.jsonl"
    path.write_text(path.read_text().replace("because of 5", "because of 6"))
    code, said = audit("verify")
    assert code == 4
    assert "000000000001.jsonl, line 5: the seal of record 5 was not made by this home" in said


def test_records_are_listed_by_kind_and_by_date(audit, log):
    del log
    assert audit("list", "--what", "key_")[1].count("key_revoked") == 1
    lines = audit("list", "--json", "--latest", "3")[1].splitlines()
    assert [json.loads(line)["n"] for line in lines] == [7, 8, 9]
    since = audit("list", "--since", "1970-01-01T00:00:01.007Z", "--json")[1]
    assert [json.loads(line)["n"] for line in since.splitlines()] == [7, 8, 9]
    assert audit("list", "--what", "erased")[1] == "no such record\n"
    early = audit("list", "--until", "1970-01-01T00:00:01.003Z", "--use-case", "toy", "--json")[1]
    assert [json.loads(line)["n"] for line in early.splitlines()] == [1, 2]
    assert audit("list", "--who", "bob")[1] == "no such record\n"


def test_a_checkpoint_kept_elsewhere_tells_of_a_log_taken_back(audit, log, tmp_path):
    kept = tmp_path / "kept.json"
    before = {path: path.read_bytes() for path in log.directory.glob("*.json*")}
    log.append([entry(10)])
    kept.write_text(audit("checkpoint")[1])
    assert audit("verify", "--checkpoint", str(kept))[0] == 0
    for path, content in before.items():
        path.write_bytes(content)
    assert audit("verify")[0] == 0
    code, said = audit("verify", "--checkpoint", str(kept))
    assert (code, "it ends with record 9, and 10 were written" in said) == (4, True)
    code, said = audit("verify", "--checkpoint", str(log.directory / "head.json"))
    assert (code, "the file has no checkpoint" in said) == (2, True)


def test_a_changed_log_is_set_aside(audit, log):
    (log.directory / "head.json").unlink()
    assert audit("verify")[0] == 4
    assert audit("set-aside", "--why", "the head was lost", "--who", "Ada")[0] == 0
    assert audit("verify") == (0, "whole: 1 records, 1 of them under 1 signed checkpoints\n")
    assert "Ada" in audit("list", "--what", "log_set_aside")[1]


def test_who_has_public_keys_alone_finds_what_was_changed_below_a_checkpoint(audit, log):
    keys = log.directory.parent / "keys"
    for secret in ("audit.key", "audit.private.pem"):
        (keys / secret).unlink()
    assert audit("verify", "--public-only")[0] == 0
    assert not (keys / "audit.key").exists()
    path = log.directory / "000000000001.jsonl"
    path.write_text(path.read_text().replace("because of 5", "because of 6"))
    code, said = audit("verify", "--public-only")
    assert (code, "line 6: record 6 does not follow from the one before it" in said) == (4, True)


def test_a_home_without_a_log_has_nothing_to_check(audit):
    assert audit("verify")[0] == 0
    assert audit("checkpoint")[0] == 3


def test_a_home_that_is_not_there_has_no_whole_log(throughline, tmp_path):
    for words in (["audit", "verify"], ["alerts"], ["forget", "list"], ["signing", "list"]):
        code, said = throughline(tmp_path / "misspelt", *words)
        assert (code, said.startswith("error: there is no home")) == (3, True)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_nobody_can_write_to_is_verified(audit, log, monkeypatch):
    monkeypatch.setattr("stores.audit.log.is_read_only", lambda folder: folder == log.directory)
    (log.directory / ".lock").unlink()
    assert audit("verify", "--public-only")[0] == 0
    assert not (log.directory / ".lock").exists()
