"""``throughline decisions diff``: records wherever they lie, through another policy."""

import asyncio
import json
import re
import shutil
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from bundles import POLICY, REQUEST, TOY_PLAN, shelve
from deltalake import write_deltalake
from engines import Bench

from core.clock import DAY_MS, FixedClock
from core.packed_records import whole_record
from orchestration.recorded import recorded_predictions
from stores.layout import Layout
from stores.records.ids import parse_record_id
from stores.records.segments import SegmentedRecordLog
from stores.records.shared import open_segments

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
SEEN = "card_activity_v1.amount_minor_count_30d"
POLICY_TEXT = f"""
rules:
  - {{decision: BLOCK, above: 0.8, reason: very_likely}}
  - decision: HOLD
    when: >
      request.amount_minor >= 900
      and {SEEN} == 0
    reason: new_and_large
default: APPROVE
default_reason: none
"""


def record(score, decision, reason, *, amount=100, count=3.0, received_ms=NOW_MS, release=1):
    return {
        "received_at_ms": received_ms,
        "at_ms": received_ms,
        "inputs": {"amount_minor": amount},
        "features": {"card_activity_v1": {"values": {"amount_minor_count_30d": count}}},
        "transforms": {},
        "score": score,
        "decision": decision,
        "reason": reason,
        "degraded": None,
        "masked": ["entities/card_id"],
        "model": {"release": release},
    }


RECORDS = (
    record(0.95, "BLOCK", "fraud_very_likely"),
    record(0.85, "REVIEW", "fraud_likely"),
    record(0.6, "REVIEW", "fraud_likely", received_ms=NOW_MS + DAY_MS),
    record(0.1, "APPROVE", "no_sign_of_fraud", amount=900, count=0.0, release=2),
    record(0.1, "APPROVE", "no_sign_of_fraud"),
)


@pytest.fixture
def layout(tmp_path, monkeypatch):
    for name in ("THROUGHLINE_HOME", "THROUGHLINE_LAKE"):
        monkeypatch.delenv(name, raising=False)
    return Layout(tmp_path / "home").create()


def kept(layout, *records, is_sealed=True):
    """Ids of records in a segment of a writer of its own."""
    log = SegmentedRecordLog(layout.records("fraud"), "fraud", FixedClock(NOW_MS))
    ids = log.append_many([json.dumps(each).encode() for each in records])
    if is_sealed:
        log.close()
    return ids


@pytest.fixture
def recorded(layout):
    return kept(layout, *RECORDS[:2]) + kept(layout, *RECORDS[2:], is_sealed=False)


@pytest.fixture
def run(throughline, layout):
    return partial(throughline, layout.root, "decisions")


@pytest.fixture
def policy_file(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY_TEXT)
    return path


def lines_of(said):
    return [" ".join(line.split()) for line in said.splitlines()]


def listing(root):
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}


def test_the_declared_policy_shows_what_it_would_change(run, layout, recorded):
    before = listing(layout.root)
    code, said = run("diff", "fraud")
    assert code == 0, said
    assert listing(layout.root) == before
    lines = lines_of(said)
    assert lines[0] == (
        "fraud: 5 recorded predictions, 2026-01-01 00:00:00 UTC to 2026-01-02 00:00:00 UTC, "
        "by release 1 (4), 2 (1)"
    )
    assert "0 of 5 decisions change (0.00%)" in lines


def test_a_policy_in_a_file_shows_its_matrix_reasons_and_ids(run, recorded, policy_file):
    code, said = run("diff", "fraud", "--policy", str(policy_file))
    lines = lines_of(said)
    assert code == 0, said
    for line in (
        "recorded \\ new BLOCK HOLD APPROVE REVIEW total",
        "BLOCK 1 0 0 0 1",
        "APPROVE 0 1 1 0 2",
        "REVIEW 1 0 1 0 2",
        "total 2 1 2 0 5",
        "3 of 5 decisions change (60.00%)",
        f"APPROVE -> HOLD 1 20.00% new_and_large 1 {recorded[3]}",
        f"REVIEW -> APPROVE 1 20.00% none 1 {recorded[2]}",
        f"REVIEW -> BLOCK 1 20.00% very_likely 1 {recorded[1]}",
        "2 decisions stay, for another reason",
    ):
        assert line in lines, said


def test_the_policy_of_a_release_is_taken_from_its_bundle(run, layout, recorded):
    assert shelve(layout, use_case="fraud", decisions=POLICY, plan=TOY_PLAN) == 1
    code, said = run("diff", "fraud", "--from-release", "1")
    assert code == 0, said
    assert f"decided again by the policy of release 1 ({POLICY.digest[:12]})" in said
    code, said = run("diff", "fraud", "--from-release", "7")
    assert code == 2
    assert "no release 7 of fraud; found releases 1" in said


def test_what_the_service_recorded_is_decided_the_same_by_its_own_release(run, layout, tmp_path):
    bench = Bench(layout, use_case="fraud", decisions=POLICY)
    points = [{**REQUEST, "inputs": {"amount_minor": n * 1_000}} for n in range(1, 25)]
    asyncio.run(bench.engine.predict_many("fraud", {"points": points}))
    kept(layout, *(whole_record(payload) for payload in bench.records.payloads))
    code, said = run("diff", "fraud", "--from-release", "1")
    assert code == 0, said
    assert "0 of 24 decisions change (0.00%)" in said
    assert "stay, for another reason" not in said
    path = tmp_path / "wider.yaml"
    path.write_text(POLICY_TEXT)
    code, said = run("diff", "fraud", "--policy", str(path))
    assert f"24 have no {SEEN}: it counts as missing" in said
    assert "REVIEW -> BLOCK" in said


def test_a_span_is_of_receipt_and_a_last_date_counts_whole(run, recorded):
    for words, n in [
        (("--since", "2026-01-02"), 1),
        (("--until", "2026-01-01"), 4),
        (("--since", "2026-01-01", "--until", "2026-01-02"), 5),
        (("--since", "20260101", "--until", "20260102"), 5),
        (("--until", "2026-01-02T00:00:00Z"), 4),
    ]:
        code, said = run("diff", "fraud", *words)
        assert (code, f"fraud: {n} recorded" in said) == (0, True), said


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("fraude",), 2, "no use case called 'fraude'"),
        (("fraud", "--since", "2027-01-01"), 3, "no predictions of fraud .* in that time"),
        (("handbook",), 3, "no predictions of handbook are recorded"),
        (("fraud", "--since", "2026-02-01", "--until", "2026-01-01"), 2, "nothing lies between"),
        (("fraud", "--since", "yesterday"), 2, "an instant cannot be read"),
        (("fraud", "--policy", "/nowhere.yaml"), 2, "No such file"),
    ],
)
def test_what_cannot_be_answered_is_said(run, recorded, words, code, message):
    found, said = run("diff", *words)
    assert found == code, said
    assert re.search(message, said), said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [", "holds no decision policy"),
        ("", "holds no decision policy; found the whole"),
        ("rules: []\ndefault: A", "default_reason: Field required"),
        (
            "rules: [{decision: A, reason: r}]\ndefault: A\ndefault_reason: r",
            "either above or when",
        ),
        (
            POLICY_TEXT.replace(SEEN, "card_activity_v1.count"),
            "decision rule 2: a rule reads a name .*`card_activity_v1.count`",
        ),
        (POLICY_TEXT.replace("above: 0.8", "when: score"), "rule 1: a rule needs a condition"),
        (POLICY_TEXT.replace("above: 0.8", "when: score > 2"), "rule 1 can never fire"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(run, recorded, tmp_path, text, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    code, said = run("diff", "fraud", "--policy", str(path))
    assert code == 2, said
    assert re.search(message, said), said


def test_records_are_found_wherever_they_are_each_once(layout):
    moved = [kept(layout, each) for each in RECORDS[:4]]
    local = moved[0] + kept(layout, RECORDS[4], is_sealed=False)
    store = open_segments(layout.segments("fraud"))
    for (record_id,) in moved[:3]:  # the first is still here, too, the third in the table, too
        path = segment_of(layout, record_id)
        store.put(path.name, path.read_bytes())
    rows = [(moved[n][0], json.dumps(RECORDS[n])) for n in (0, 2, 3)]
    ids, texts = zip(*rows, strict=True)
    table = pa.table({"prediction_id": list(ids), "record": list(texts)})
    write_deltalake(layout.predictions("fraud"), table)
    for (record_id,) in moved[1:]:
        segment_of(layout, record_id).unlink()
    found = dict(recorded_predictions(layout, "fraud"))
    assert sorted(found) == sorted(local + [record_id for (record_id,) in moved[1:]])
    assert found == {moved[n][0]: RECORDS[n] for n in range(4)} | {local[1]: RECORDS[4]}
    assert len(list(recorded_predictions(layout, "fraud"))) == 5


def segment_of(layout, record_id) -> Path:
    where = parse_record_id(record_id)
    name = f"{where.writer}-{where.segment}.sealed"
    return Path(layout.records("fraud"), name)


def test_a_torn_last_record_and_other_files_are_passed_over(layout):
    (first, second) = kept(layout, *RECORDS[:2])
    path = segment_of(layout, first)
    path.write_bytes(path.read_bytes()[:-5])
    shutil.copy(path, path.with_name("notes.txt"))
    assert [record_id for record_id, _ in recorded_predictions(layout, "fraud")] == [first]
    assert second != first
