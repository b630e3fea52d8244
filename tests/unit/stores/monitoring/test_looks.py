"""The last look of each kind is kept, and one that cannot be read says how to have another."""

from __future__ import annotations

import pytest

from core.errors import IntegrityError, InvalidInputError
from core.monitoring.watched import CalibrationSeen, DriftSeen, StreamsSeen
from stores.monitoring.looks import KINDS, Looks

DRIFT = DriftSeen(
    use_case="toy", at_ms=1, first_date="2026-01-01", last_date="2026-01-07", baseline_days=28,
    timelines=(), charts=(),
)  # fmt: skip


def test_the_newest_look_of_each_kind_is_kept(tmp_path):
    looks = Looks(tmp_path / "monitoring")
    assert looks.drift("toy") is None
    looks.put(DRIFT)
    looks.put(DRIFT.model_copy(update={"at_ms": 2}))
    streams = StreamsSeen(use_case="toy", at_ms=3, alarms=())
    looks.put(streams)
    assert looks.drift("toy") == DRIFT.model_copy(update={"at_ms": 2})
    assert looks.stream("toy") == streams
    assert (looks.performance("toy"), looks.calibration("toy")) == (None, None)
    assert sorted(p.stem for p in (tmp_path / "monitoring/toy/seen").iterdir()) == [
        "drift",
        "stream",
    ]


def test_every_kind_has_a_place_of_its_own():
    assert len(set(KINDS.values())) == len(KINDS)


def test_one_that_cannot_be_read_names_the_asset_that_writes_it_anew(tmp_path):
    looks = Looks(tmp_path)
    looks.put(CalibrationSeen(use_case="toy", at_ms=1, is_promised=True, diagrams=()))
    (tmp_path / "toy/seen/calibration.json").write_text('{"at_ms": 1}')
    with pytest.raises(IntegrityError, match="monitoring/toy_calibration"):
        looks.calibration("toy")
    with pytest.raises(InvalidInputError):
        looks.drift("../toy")
