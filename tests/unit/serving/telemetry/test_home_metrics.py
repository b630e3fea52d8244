import os

from prometheus_client import generate_latest

from serving.telemetry.home_metrics import Families, Waiting, home_families, waiting_segments
from stores.layout import Layout
from stores.online.watermarks import Watermark

NOW_MS = 1_767_225_600_000


def text(watermarks=None, waiting=None, *, is_shelf_bad=False):
    families = home_families(NOW_MS, watermarks or {}, waiting or {}, is_shelf_bad=is_shelf_bad)
    lines = generate_latest(Families(families)).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_how_far_a_source_has_come_what_was_behind_and_how_long_nobody_spoke():
    mark = Watermark(available_ms=NOW_MS - 5_000, position=7, written_at_ms=NOW_MS - 2_000)
    found = text({"payments": mark})
    assert 'throughline_source_age_seconds{source="payments"} 5.0' in found
    assert 'throughline_folder_lag_seconds{source="payments"} 3.0' in found
    assert 'throughline_folder_silence_seconds{source="payments"} 2.0' in found


def test_a_source_nobody_spoke_of_has_no_number():
    assert not [line for line in text() if "source" in line]


def test_segments_that_wait_are_counted_by_use_case(tmp_path):
    layout = Layout(tmp_path)
    folder = layout.records("toy")
    (folder / "shipped").mkdir(parents=True)
    layout.records("idle").mkdir()
    for name, age_s in (("w-1.sealed", 90), ("w-2.sealed", 30), ("w-3.open", 500)):
        (folder / name).write_bytes(b"x" * 10)
        os.utime(folder / name, (NOW_MS / 1_000 - age_s,) * 2)
    (folder / "shipped" / "w-0.sealed").write_bytes(b"x")
    waiting = waiting_segments(layout)
    assert waiting["toy"] == Waiting(2, 20, NOW_MS - 90_000)
    assert waiting["idle"] == Waiting(0, 0, None)
    found = text(waiting=waiting)
    assert 'throughline_records_waiting_segments{use_case="toy"} 2.0' in found
    assert 'throughline_records_waiting_bytes{use_case="toy"} 20.0' in found
    assert 'throughline_records_waiting_age_seconds{use_case="toy"} 90.0' in found
    assert 'throughline_records_waiting_age_seconds{use_case="idle"} 0.0' in found


def test_a_home_without_records_has_none_waiting(tmp_path):
    assert waiting_segments(Layout(tmp_path)) == {}


def test_a_bad_shelf_is_shown():
    assert "throughline_shelf_bad 0.0" in text()
    assert "throughline_shelf_bad 1.0" in text(is_shelf_bad=True)
