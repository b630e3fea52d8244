from __future__ import annotations

import pytest
from payments import DAY_MS, NOW_MS, PAYMENTS, VERDICTS, payment, seal_events
from pydantic import ValidationError
from shared_spark import ingested

from spark_jobs import replay_rejects
from spark_jobs.delta import read_table
from stores.layout import Layout
from stores.log.source_log import SourceLog

pytestmark = pytest.mark.spark


def test_refused_records_come_again_once_and_are_accepted_when_their_reference_is_there(
    spark, tmp_path
):
    layout = Layout(tmp_path)
    ingested(spark, layout, PAYMENTS, seal_events(layout, PAYMENTS, [payment("p1", NOW_MS)]))
    verdict = {"event_timestamp": NOW_MS, "terminal_id": "t1", "is_fraud": 1}
    rows = [
        verdict | {"event_id": "v2", "payment_id": "p2"},
        verdict | {"event_id": "v3", "payment_id": "p3"},
        verdict | {"event_id": "v4", "payment_id": "p1", "is_fraud": 7},
    ]
    epoch = seal_events(layout, VERDICTS, rows)
    assert ingested(spark, layout, VERDICTS, epoch).rejected == {
        "unknown_reference": 2,
        "out_of_range": 1,
    }
    late = seal_events(layout, PAYMENTS, [payment("p2", NOW_MS - DAY_MS)])
    ingested(spark, layout, PAYMENTS, late)

    asked = replay_rejects.Arguments(
        root=str(tmp_path), now_ms=NOW_MS, source=VERDICTS, codes=("unknown_reference",)
    )
    log = SourceLog(layout.log_dir("verdicts"), "verdicts")
    # A run that died after landing and before marking: its epoch must be found, not doubled.
    rejected = read_table(spark, layout.rejected("verdicts"))
    raw = [
        row.raw for row in rejected.where("code = 'unknown_reference'").orderBy("offset").collect()
    ]
    path = tmp_path / "broken.ndjson"
    path.write_text("".join(f"{line}\n" for line in raw))
    broken = log.land(path, now_ms=NOW_MS, is_repeat_allowed=True).epoch.epoch

    report = replay_rejects.run(spark, asked)
    assert report.landed == {broken: 2}
    assert report.by_code == {"unknown_reference": 2}
    again = replay_rejects.run(spark, asked)
    assert (again.landed, again.to_epoch) == ({}, 0)

    second = ingested(spark, layout, VERDICTS, report.to_epoch)
    assert (second.accepted, second.rejected) == (1, {"unknown_reference": 1})
    marks = read_table(spark, layout.rejected("verdicts")).select("epoch", "replayed_epoch")
    assert sorted(map(tuple, marks.collect()), key=str) == [
        (epoch, broken),
        (epoch, broken),
        (epoch, None),
        (broken, None),
    ]
    third = replay_rejects.run(spark, asked)
    assert third.landed == {broken + 1: 1}


def test_a_replay_must_say_which_records():
    with pytest.raises(ValidationError, match="say which"):
        replay_rejects.Arguments(root="r", now_ms=NOW_MS, source=PAYMENTS)
